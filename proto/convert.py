"""The daily context between its two forms: the pydantic model and the protobuf message. Pure.

On the wire the sixteen fields are 32-bit floats; their exact values travel in the provenance, and
come back from there. Scores per sector and per symbol have none and are rounded to 32 bits.
Times are ns since the Unix epoch; 0 stands for none.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, cast

from google.protobuf.message import DecodeError

from relentless.proto.contexts import Origin
from relentless.proto.daily import (
    FLOAT_FEATURES,
    DailyContext,
    FeatureProvenance,
    Quality,
    ScheduledEvent,
    SymbolContext,
)
from relentless.proto.errors import InvalidInput
from relentless.proto.gen import context_pb2 as pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SCORES = ("news_sentiment", "options_flow_sentiment", "insider_trading_signal")
_QUALITY: Mapping[Quality, pb.Quality] = MappingProxyType(
    {
        Quality.OK: pb.QUALITY_OK,
        Quality.STALE: pb.QUALITY_STALE,
        Quality.MISSING: pb.QUALITY_MISSING,
        Quality.IMPUTED: pb.QUALITY_IMPUTED,
    }
)
_QUALITY_BACK = {value: quality for quality, value in _QUALITY.items()}


def to_proto(context: DailyContext) -> pb.DailyContext:
    """Write a daily context as protobuf. An absent float stays absent; an absent stance is ""."""
    message = pb.DailyContext(
        pending_bills=context.pending_bills,
        fed_stance=context.fed_stance or "",
        sector_scores=context.sector_scores,
        as_of_ns=_ns(context.as_of),
        trading_date=context.trading_date.isoformat(),
        context_id=bytes.fromhex(context.context_id),
        fold_version=context.fold_version,
        head=context.head,
        extra=context.extra,
        events=_events(context.events),
    )
    for name in FLOAT_FEATURES:
        value = getattr(context, name)
        if value is not None:
            setattr(message, name, value)
    for name, said in context.provenance.items():
        message.provenance[name].CopyFrom(_provenance(said))
    for symbol, known in context.symbols.items():
        message.symbols[symbol].CopyFrom(_symbol(known))
    return message


def from_proto(message: pb.DailyContext) -> DailyContext:
    """Read a daily context from protobuf.

    Raises:
        InvalidInput: a field breaks the context's contract.
    """
    try:
        provenance = {name: _read_provenance(said) for name, said in message.provenance.items()}
        fields: dict[str, Any] = {
            name: _exact(getattr(message, name), provenance.get(name))
            for name in FLOAT_FEATURES
            if message.HasField(cast(Any, name))
        }
        return DailyContext(
            **fields,
            pending_bills=tuple(message.pending_bills),
            fed_stance=cast(Any, message.fed_stance or None),
            sector_scores=dict(message.sector_scores),
            as_of=_moment(message.as_of_ns),
            trading_date=date.fromisoformat(message.trading_date),
            context_id=message.context_id.hex(),
            fold_version=message.fold_version,
            head=message.head,
            extra=dict(message.extra),
            provenance=provenance,
            symbols={symbol: _read_symbol(known) for symbol, known in message.symbols.items()},
            events=_read_events(message.events),
        )
    except (ValueError, KeyError, OverflowError) as error:
        raise InvalidInput(f"no daily context: {str(error)[:300]}") from error


def parse(body: bytes) -> DailyContext:
    """Read a daily context from protobuf's bytes.

    Raises:
        InvalidInput: the bytes are no message, or a field breaks the context's contract.
    """
    message = pb.DailyContext()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise InvalidInput("no daily context: the bytes are not its protobuf message") from error
    return from_proto(message)


def _ns(moment: datetime | None) -> int:
    return 0 if moment is None else (moment - _EPOCH) // _MICROSECOND * 1_000


def _moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1_000)


def _moment_or_none(ns: int) -> datetime | None:
    return _moment(ns) if ns else None


def _exact(rounded: float, said: FeatureProvenance | None) -> float:
    """Give the provenance's value where it is the one that was rounded to 32 bits."""
    value = said.value if said is not None else None
    if isinstance(value, float) and pb.DailyContext(news_sentiment=value).news_sentiment == rounded:
        return value
    return rounded


def _number(value: float | str | None) -> float | None:
    return None if isinstance(value, str) else value


def _text(value: float | str | None) -> str:
    return value if isinstance(value, str) else ""


def _provenance(said: FeatureProvenance) -> pb.FeatureProvenance:
    return pb.FeatureProvenance(
        value=_number(said.value),
        text=_text(said.value),
        previous=_number(said.previous),
        previous_text=_text(said.previous),
        observed_at_ns=_ns(said.observed_at),
        known_at_ns=_ns(said.known_at),
        message_ids=said.message_ids,
        quality=_QUALITY[said.quality],
        source=said.source,
        origin=said.origin.value if said.origin else "",
        note=said.note,
    )


def _read_provenance(said: pb.FeatureProvenance) -> FeatureProvenance:
    return FeatureProvenance(
        value=said.value if said.HasField("value") else said.text or None,
        previous=said.previous if said.HasField("previous") else said.previous_text or None,
        observed_at=_moment_or_none(said.observed_at_ns),
        known_at=_moment_or_none(said.known_at_ns),
        message_ids=tuple(said.message_ids),
        quality=_QUALITY_BACK[said.quality],
        source=said.source,
        origin=Origin(said.origin) if said.origin else None,
        note=said.note,
    )


def _symbol(known: SymbolContext) -> pb.SymbolContext:
    return pb.SymbolContext(
        news_sentiment=known.news_sentiment,
        options_flow_sentiment=known.options_flow_sentiment,
        insider_trading_signal=known.insider_trading_signal,
        events=_events(known.events),
    )


def _read_symbol(known: pb.SymbolContext) -> SymbolContext:
    scores = {name: getattr(known, name) for name in _SCORES if known.HasField(cast(Any, name))}
    return SymbolContext(**scores, events=_read_events(known.events))


def _events(events: Iterable[ScheduledEvent]) -> list[pb.ScheduledEvent]:
    return [
        pb.ScheduledEvent(
            kind=e.kind,
            name=e.name,
            at_ns=_ns(e.at),
            importance=e.importance or "",
            in_trading_days=e.in_trading_days,
        )
        for e in events
    ]


def _read_events(events: Iterable[pb.ScheduledEvent]) -> tuple[ScheduledEvent, ...]:
    return tuple(
        ScheduledEvent(
            kind=cast(Literal["earnings", "macro"], event.kind),
            name=event.name,
            at=_moment(event.at_ns),
            importance=cast(Any, event.importance or None),
            in_trading_days=event.in_trading_days if event.HasField("in_trading_days") else None,
        )
        for event in events
    )
