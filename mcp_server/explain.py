"""``explain_signal``: a signal walked back to model, features, context, messages and evidence.

Each step asks the part that knows: the predictor for what the model saw (while it keeps that), the
journal for the context by the id in the frame and for the messages by the ids in its provenance.
What a step cannot tell is a gap in the answer, never a reason not to give the rest.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from relentless.configs.access import TlsSettings
from relentless.mcp_server.contexts import ContextStore
from relentless.models.feature_spec import TICK_FEATURES
from relentless.proto.contexts import AGENT_TOPICS
from relentless.proto.daily import DailyContext, FeatureProvenance, Quality
from relentless.proto.errors import NotFound, RelentlessError, Unavailable
from relentless.proto.signal import Flag
from relentless.store.ports import Entry, Journal, Kind
from relentless.tools.explained import (
    MAX_MESSAGES,
    ContextUse,
    Explained,
    FeatureUse,
    MessageUse,
    ModelSaid,
    Part,
)
from relentless.tools.ports import Emitted

PAGE: Final = 1_000
MAX_READ: Final = 20_000
"""Messages before the context that are looked through, the newest first."""
TIMEOUT_S: Final = 1.0


class SignalExplainer:
    """Walks signals back; satisfies ``tools.inference.Explainer``."""

    def __init__(
        self,
        journal: Journal,
        contexts: ContextStore,
        predictors: Callable[[], Mapping[str, Mapping[str, Any]]],
        credential: Callable[[], str],
        tls: TlsSettings | None = None,
    ) -> None:
        self._journal = journal
        self._contexts = contexts
        self._predictors = predictors
        self._credential = credential
        self._tls = tls

    async def explain(self, signal: Emitted, parts: Collection[Part]) -> Explained:
        """Give what can still be told; what cannot is among its gaps."""
        whole = set(parts)
        if "*" in whole:
            whole |= {"provenance", "messages", "frame"}
        gaps: list[str] = []
        features, heads = await self._grounds(signal, gaps)
        context = await self._context(signal, gaps)
        messages = [] if context is None else await self._messages(context, gaps)
        if "messages" not in whole:
            messages = [used.model_copy(update={"context": None}) for used in messages]
        return Explained(
            signal=signal if "frame" in whole else signal.model_copy(update={"frame": ""}),
            model=ModelSaid(
                version=signal.model_version,
                label="canary" if _flag(Flag.CANARY) in signal.flags else "stable",
                heads=heads,
            ),
            tick_features=features,
            context=context and _use(context, signal.symbol, "provenance" in whole),
            messages=messages,
            gaps=gaps,
        )

    async def _grounds(
        self, signal: Emitted, gaps: list[str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Give tick features and heads by name, from the predictor that emitted the signal."""
        address = next(
            (
                str(said["grpc"])
                for said in self._predictors().values()
                if said.get("session") == signal.session and said.get("grpc")
            ),
            None,
        )
        try:
            if address is None:
                raise NotFound("the predictor of this session is not known here any more")
            return await self._ask(address, signal)
        except RelentlessError as error:
            gaps.append(f"tick features and heads: {error}")
            return {}, {}

    async def _ask(
        self, address: str, signal: Emitted
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Ask a predictor.

        Raises:
            NotFound: it does not keep what the model saw any more.
            Unavailable: it does not answer, or not as this version of it would.
        """
        grpc, opened, market_pb2, market_pb2_grpc, names = await asyncio.to_thread(_heavy)
        metadata = (("authorization", f"Bearer {self._credential()}"),)
        request = market_pb2.ExplainRequest(session=signal.session, sequence=signal.sequence)
        try:
            async with opened(address, self._tls) as channel:
                stub = market_pb2_grpc.FinancialPredictorStub(channel)
                said = await stub.Explain(request, timeout=TIMEOUT_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(str(error.details())) from error
            raise Unavailable(f"the predictor gave no answer ({error.code().name})") from error
        if (len(said.features), len(said.heads)) != (len(TICK_FEATURES), len(names)):
            raise Unavailable("the predictor has other features than this hub; run one version")
        return _named(TICK_FEATURES, said.features), _named(names, said.heads)

    async def _context(self, signal: Emitted, gaps: list[str]) -> DailyContext | None:
        try:
            return await self._contexts.by_short_id(int(signal.context_id, 16))
        except NotFound as error:
            gaps.append(f"context: {error}")
            return None

    async def _messages(self, context: DailyContext, gaps: list[str]) -> list[MessageUse]:
        """Give the messages of the features, those that became known last first."""
        wanted: dict[str, list[str]] = {}
        for name, entry in context.provenance.items():
            for message_id in entry.message_ids:
                wanted.setdefault(message_id, []).append(name)
        newest = sorted(
            wanted, key=lambda one: _known(context.provenance, wanted[one]), reverse=True
        )
        chosen = newest[:MAX_MESSAGES]
        found = await self._find(set(chosen), context.head)
        if left := len(newest) - len(chosen):
            gaps.append(f"messages: {left} older ones are named in provenance only")
        if lost := len(chosen) - len(found):
            gaps.append(f"messages: {lost} lie too far back to be looked up here")
        return [_message(found[one], wanted[one]) for one in chosen if one in found]

    async def _find(self, wanted: set[str], head: int) -> dict[str, Entry]:
        """Find messages by id, the newest first, within ``MAX_READ`` of the context's head.

        An id is its sender's own, so another agent's message of the same id is passed over: only
        what a context reads counts.
        """
        found: dict[str, Entry] = {}
        for _ in range(MAX_READ // PAGE):
            page = await self._journal.read(Kind.MESSAGE, up_to=head, limit=PAGE, newest_first=True)
            for entry in page:
                if entry.key in wanted and AGENT_TOPICS.get(entry.principal) == entry.topic:
                    found.setdefault(entry.key, entry)
            if len(page) < PAGE or len(found) == len(wanted):
                break
            head = page[-1].sequence - 1
        return found


def _heavy() -> tuple[Any, Any, Any, Any, tuple[str, ...]]:
    """Import gRPC with the first question."""
    import grpc

    from relentless.proto.gen import market_pb2, market_pb2_grpc
    from relentless.serving.clients.channel import predictor_channel
    from relentless.serving.ports import HEADS

    return grpc, predictor_channel, market_pb2, market_pb2_grpc, HEADS


def _named(names: Collection[str], values: Collection[float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in zip(names, values, strict=True)}


def _flag(flag: Flag) -> str:
    return str(flag.name).lower()


def _known(provenance: Mapping[str, FeatureProvenance], features: list[str]) -> float:
    """Give when the newest of some features became known, in seconds since the Unix epoch."""
    times = [known.timestamp() for name in features if (known := provenance[name].known_at)]
    return max(times, default=0.0)


def _use(context: DailyContext, symbol: str, whole: bool) -> ContextUse:
    about = context.symbols.get(symbol)
    return ContextUse(
        context_id=context.context_id,
        trading_date=context.trading_date.isoformat(),
        as_of=context.as_of,
        features={
            name: (entry if whole else _feature(entry)).model_dump(mode="json", exclude_unset=True)
            for name, entry in context.provenance.items()
        },
        symbol=about and about.model_dump(mode="json"),
    )


def _feature(entry: FeatureProvenance) -> FeatureUse:
    return FeatureUse(
        value=entry.value,
        used=entry.quality is Quality.OK,
        quality=entry.quality,
        known_at=entry.known_at,
        source=entry.source,
    )


def _message(entry: Entry, features: list[str]) -> MessageUse:
    said = json.loads(entry.body)
    return MessageUse(
        message_id=entry.key,
        sequence=entry.sequence,
        topic=said["topic"],
        source_agent=entry.principal,
        known_at=said.get("known_at"),
        features=features,
        evidence=said.get("evidence", []),
        context=said["context"],
    )
