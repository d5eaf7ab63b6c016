"""The fold: messages into one daily context, the same bytes on any machine.

Pure: it reads no clock, no file and no network. Above it stand the coordinator, which chooses the
moment, and whoever replays a day; below it the siblings ``fold_select``, ``fold_rates``,
``fold_legislation`` and ``fold_symbols``. A value that is missing or stale is stated in the
provenance and absent everywhere else.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from relentless.configs.freshness import Freshness
from relentless.models.fold_legislation import EXTRA, legislation_features
from relentless.models.fold_rates import RATE_FEATURES, SERIES, rate_features
from relentless.models.fold_select import Item, select
from relentless.models.fold_symbols import (
    Average,
    average,
    earnings_ahead,
    news_score,
    releases_ahead,
)
from relentless.proto.base import canonical_json, iso
from relentless.proto.contexts import Topic
from relentless.proto.daily import DailyContext, Quality, ScheduledEvent, SymbolContext
from relentless.proto.messages import ContextMessage

FOLD_VERSION = 2
"""Raised whenever the same messages would give other values."""

EXTRA_FEATURES: tuple[str, ...] = (
    *(f.name for f in RATE_FEATURES if f.name not in DailyContext.model_fields),
    *EXTRA,
)
"""Names of the further numeric features, in order; in ``extra`` only while their quality is ok."""


def fold(
    messages: Iterable[tuple[int, ContextMessage]],
    *,
    as_of: datetime,
    trading_date: date,
    head: int,
    rules: Freshness,
) -> DailyContext:
    """Fold messages, each with its journal sequence, into the context of one moment.

    Messages known after ``as_of`` or beyond ``head`` change nothing, nor does the order in which
    they come. ``as_of`` is aware; ``trading_date`` is the exchange's.
    """
    as_of = as_of.astimezone(UTC)
    standing = select(messages, as_of=as_of, head=head)
    rates = {item.context["series_id"]: item for item in standing[Topic.RATES]}
    provenance = dict(rate_features(rates, as_of=as_of, rules=rules))
    used = [rates[series] for series in SERIES if series in rates]

    legislation = legislation_features(
        standing[Topic.LEGISLATION], as_of=as_of, trading_date=trading_date, rules=rules
    )
    provenance.update(legislation.provenance)
    averages = _averages(standing, as_of, rules)
    provenance.update({name: found.provenance for name, found in averages.items()})

    horizon = timedelta(days=rules.horizon_days)
    earnings, reports = earnings_ahead(
        standing[Topic.EARNINGS_CALENDAR],
        as_of=as_of,
        trading_date=trading_date,
        horizon=horizon,
    )
    events, releases = releases_ahead(
        standing[Topic.ECONOMIC_CALENDAR],
        as_of=as_of,
        trading_date=trading_date,
        horizon=horizon,
    )
    used += [*legislation.used, *reports, *releases]
    used += [item for found in averages.values() for item in found.used]
    usable = {
        name: said.value
        for name, said in provenance.items()
        if said.quality is Quality.OK and said.value is not None
    }
    fields: dict[str, Any] = {
        name: value for name, value in usable.items() if name in DailyContext.model_fields
    }
    return DailyContext(
        **fields,
        pending_bills=legislation.pending,
        sector_scores=legislation.sectors,
        as_of=as_of,
        trading_date=trading_date,
        context_id=_identity(trading_date, as_of, rules, used),
        fold_version=FOLD_VERSION,
        head=head,
        extra={name: usable[name] for name in EXTRA_FEATURES if name in usable},
        provenance=provenance,
        symbols=_symbols(averages, earnings),
        events=events,
    )


def _averages(
    standing: Mapping[Topic, Sequence[Item]], as_of: datetime, rules: Freshness
) -> dict[str, Average]:
    def over(
        name: str, topic: Topic, symbol: str, weight: str | None, source: str
    ) -> tuple[str, Average]:
        found = average(
            standing[topic],
            symbol=symbol,
            score=news_score if topic is Topic.NEWS else lambda context: float(context["score"]),
            weight=lambda context: 1.0 if weight is None else float(context[weight]),
            as_of=as_of,
            window=rules.feature_max_age(name),
            source=source,
        )
        return name, found

    return dict(
        (
            over("news_sentiment", Topic.NEWS, "asset", "confidence", "news by confidence"),
            over("options_flow_sentiment", Topic.OPTIONS_FLOW, "symbol", None, "options flow"),
            over("insider_trading_signal", Topic.INSIDER, "symbol", None, "insider trades"),
        )
    )


def _symbols(
    averages: Mapping[str, Average], earnings: Mapping[str, tuple[ScheduledEvent, ...]]
) -> dict[str, SymbolContext]:
    names = set(earnings).union(*(found.by_symbol for found in averages.values()))
    return {
        symbol: SymbolContext(
            news_sentiment=averages["news_sentiment"].by_symbol.get(symbol),
            options_flow_sentiment=averages["options_flow_sentiment"].by_symbol.get(symbol),
            insider_trading_signal=averages["insider_trading_signal"].by_symbol.get(symbol),
            events=earnings.get(symbol, ()),
        )
        for symbol in sorted(names)
    }


def _identity(trading_date: date, as_of: datetime, rules: Freshness, used: Iterable[Item]) -> str:
    says = {
        "trading_date": trading_date.isoformat(),
        "as_of": iso(as_of),
        "fold_version": FOLD_VERSION,
        "freshness": rules.digest,
        "messages": sorted(item.message.content_digest() for item in used),
    }
    return hashlib.sha256(canonical_json(says)).hexdigest()
