"""The tick pipeline: packed ticks in, one sealed 64-byte frame out for each, in one thread.

A :class:`Lane` is one stream of ticks with its own feature state: the live feed has one, the gRPC
service another. Its stages: ``kernels.prepare`` (decode, gates), ``models.features`` (incremental),
the model (``ports.Predictor``, stable and canary), ``kernels.finish`` (policy, gates, frames). With
a model in this process all of them are one compiled call (``fused.step``); with one behind a hop
they follow each other here. A lane batches whatever has arrived and never waits. Nothing here does
I/O; who calls it owns the clock, the lease and the feed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from relentless.configs.clock import to_ns
from relentless.models import context_vector, features
from relentless.models.policy import PolicyLimits, new_tracker
from relentless.proto.daily import DailyContext
from relentless.proto.errors import ModelError
from relentless.proto.signal import SIGNAL_SIZE
from relentless.serving import fused, kernels
from relentless.serving.gates import EmitLimits, GateCounts, Reason, new_bucket, refill
from relentless.serving.ports import HEADS, Array, Embedded, LocalPredictor, Predictor
from relentless.serving.routing import prefix, threshold

CAPACITY = 4_096
"""Ticks in one step; a longer batch is cut by :meth:`Lane.process`'s caller."""
KEPT_CUTS = 64
STRATEGY_ID = 1
TIMED = 16
"""One step in so many has its stages timed."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ActiveContext:
    """A daily context as the lanes use it: encoded once for each version that serves."""

    context: DailyContext
    as_of_ns: int
    stable: Embedded
    canary: Embedded | None


def activate(engine: Predictor, context: DailyContext) -> ActiveContext:
    """Encode a daily context for every version that serves.

    A canary that cannot encode it gets no ticks; stable does not suffer for it.

    Raises:
        ModelError: no stable version, or it cannot encode.
    """
    labels = engine.labels()
    vector = context_vector.vectorise(context)
    if "stable" not in labels:
        raise ModelError("no model version has the label stable; look at the model repository")
    stable = engine.encode(vector, context.short_id, labels["stable"])
    canary = None
    if "canary" in labels:
        try:
            canary = engine.encode(vector, context.short_id, labels["canary"])
        except ModelError as error:
            _log.warning("canary set aside", version=labels["canary"], error=str(error))
    return ActiveContext(
        context=context,
        as_of_ns=to_ns(context.as_of),
        stable=stable,
        canary=canary,
    )


class Output(NamedTuple):
    """What became of a batch. The arrays are scratch: read them before the next step."""

    frames: npt.NDArray[np.uint8]
    """Every tick's frame in order, shape [N, 64]; sequence 0 where refused."""
    reasons: npt.NDArray[np.uint8]
    """``gates.Reason`` of each, shape [N]."""
    passed: int
    """How many passed."""
    features: Array
    """Every tick's features, shape [N, F]."""
    heads: Array
    """The model's answer to each, shape [N, 4]; only rows that passed say anything."""
    times: "StageTimes | None"
    """When the stages ended, in one step of sixteen."""

    def emitted(self) -> npt.NDArray[np.uint8]:
        """Give the frames that passed, shape [passed, 64]."""
        if self.passed == len(self.reasons):
            return self.frames
        passed: npt.NDArray[np.uint8] = self.frames[self.reasons == 0]
        return passed

    def grounds(self) -> tuple[Array, Array]:
        """Give what the model saw and said of those that passed, [passed, F] and [passed, 4]."""
        if self.passed == len(self.reasons):
            return self.features, self.heads
        passed = self.reasons == 0
        return self.features[passed], self.heads[passed]


class StageTimes(NamedTuple):
    """Moments of one step, ns of one clock: the stages lie between them."""

    start: int
    prepared: int
    featured: int
    predicted: int
    finished: int


class Lane:
    """One stream of ticks with its own state. Not safe for two threads at once.

    Args:
        engine: the model.
        name_of: gives the symbol of a number, from 1 on.
        symbols: how many are known; :meth:`know` takes more.
        policy: what the decisions may do.
        limits: what may leave.
        signals_per_s: the rate limit.
        max_age_ns: how old a context may be.
        canary_share: the share of symbol-minutes that goes to the canary.
    """

    def __init__(
        self,
        engine: Predictor,
        name_of: Callable[[int], str],
        *,
        symbols: int = 64,
        policy: PolicyLimits | None = None,
        limits: EmitLimits | None = None,
        signals_per_s: int = 2_000_000,
        max_age_ns: int = 28 * 3_600_000_000_000,
        canary_share: float = 0.0,
    ) -> None:
        self.engine = engine
        self.counts = GateCounts()
        self.ticks = 0
        self._name_of = name_of
        self._known = 0
        self._steps = 0
        self._times: npt.NDArray[np.int64] = np.zeros(fused.TIMES, np.int64)
        self._limits = np.array([*(policy or PolicyLimits()), *(limits or EmitLimits())], float)
        self._tokens = new_bucket(signals_per_s)
        self._terms = np.zeros(kernels.TERMS, np.int64)
        self._terms[kernels.MAX_AGE] = max_age_ns
        self._canary_share = canary_share
        self._active: ActiveContext | None = None
        self._models: Array | None = None
        self._context_id = np.uint64(0)
        self._state = features.new_state(1)
        self._tracker = new_tracker(1)
        self._symbols = np.zeros((1, kernels.SYMBOL_COLUMNS), np.int64)
        self._features = np.zeros((CAPACITY, features.FEATURES), np.float32)
        self._heads = np.zeros((CAPACITY, len(HEADS)), np.float32)
        self._out = np.zeros((CAPACITY, SIGNAL_SIZE // 4), np.uint32)
        self._frames = self._out.view(np.uint8)
        self._columns = np.zeros((kernels.COLUMNS, CAPACITY), np.uint64)
        self._whole = np.zeros((2, CAPACITY), np.int64)
        self._numbers = np.zeros((2, CAPACITY), np.uint32)
        self._marks = np.zeros((3, CAPACITY), np.uint8)
        self._reason = self._marks[kernels.REASON]
        self._cuts: dict[int, tuple[npt.NDArray[Any], ...]] = {}
        self.know(symbols)

    def _cut(self, n: int) -> tuple[npt.NDArray[Any], ...]:
        """Give the first ``n`` rows of frames, reasons, features and heads."""
        found = self._cuts.get(n)
        if found is None:
            found = tuple(a[:n] for a in (self._frames, self._reason, self._features, self._heads))
            if n <= KEPT_CUTS:
                self._cuts[n] = found
        return found

    @property
    def active(self) -> ActiveContext | None:
        """The context in force."""
        return self._active

    @property
    def canary_share(self) -> float:
        """The share of symbol-minutes that goes to the canary."""
        return self._canary_share

    @canary_share.setter
    def canary_share(self, share: float) -> None:
        self._canary_share = share
        canary = self._active.canary if self._active else None
        self._terms[kernels.CANARY_BUCKETS] = threshold(share) if canary else 0

    def use(self, active: ActiveContext | None) -> None:
        """Join every later tick to this context; None: to none, and all are refused."""
        self._active = active
        terms = self._terms
        terms[kernels.PRESENT] = active is not None
        terms[kernels.AS_OF] = active.as_of_ns if active else 0
        terms[kernels.STABLE] = active.stable.version if active else 0
        canary = active.canary if active else None
        terms[kernels.CANARY_VERSION] = canary.version if canary else 0
        self.canary_share = self._canary_share
        self._context_id = np.uint64(active.stable.context_id if active else 0)
        self._models = None
        if active is not None and isinstance(self.engine, LocalPredictor):
            pair = active.stable, active.canary or active.stable
            self._models = np.stack([self.engine.folded(each) for each in pair])

    def know(self, count: int) -> None:
        """Take the symbols up to number ``count`` as known; rows grow by doubling."""
        have = len(self._state)
        if count >= have:
            more = max(count + 1, 2 * have) - have
            self._state = np.concatenate([self._state, features.new_state(more)])
            self._tracker = np.concatenate([self._tracker, new_tracker(more)])
            rows = np.zeros((more, kernels.SYMBOL_COLUMNS), np.int64)
            self._symbols = np.concatenate([self._symbols, rows])
        for number in range(self._known + 1, count + 1):
            self._symbols[number, kernels.PREFIX] = prefix(self._name_of(number))
        self._known = max(self._known, count)

    def hold(self, symbol: int, held: bool) -> None:
        """Refuse a symbol's results while its trading is halted."""
        if 0 < symbol < len(self._symbols):
            self._symbols[symbol, kernels.HELD] = held

    def quote(self, symbol: int, bid: float, ask: float) -> None:
        """Take a quote without a trade into the features."""
        if 0 < symbol <= self._known:
            features.update_quote(self._state, symbol, bid, ask)

    def process(
        self,
        ticks: npt.NDArray[np.uint8],
        *,
        now_ns: int,
        refuse: Callable[[], int],
        first_sequence: int = 0,
        shed: int = 0,
        indicators: Sequence[tuple[int, Sequence[float]]] = (),
    ) -> Output:
        """Take packed ticks, shape [N, 48] and at most ``CAPACITY``, through every step.

        Args:
            ticks: C-contiguous bytes of whole ticks, writable: the compiled loops are called
                several times faster with arrays that are.
            now_ns: market time, for the context's age.
            refuse: a reason that holds for all, or 0. It is asked as late as can be: after a model
                behind a hop answered, and just before the whole step of one in this process.
            first_sequence: the first sequence of what passes; 0 numbers nothing.
            shed: the first ``shed`` ticks move the state and are not predicted.
            indicators: (row, F numbers) that replace a tick's own features.
        """
        timed = self._steps % TIMED == 0
        self._steps += 1
        if self._models is not None and not indicators:
            # A plain int: for an enumeration's member the whole step would be compiled anew.
            passed = self._fused(ticks, now_ns, int(refuse()), first_sequence, shed, timed)
        else:
            passed = self._staged(ticks, now_ns, refuse, first_sequence, shed, indicators)
        n = len(ticks)
        self.ticks += n
        frames, reasons, rows, heads = self._cut(n)
        times = StageTimes(*self._times[: fused.STAMPS].tolist()) if timed else None
        return Output(frames, reasons, passed, rows, heads, times)

    def _fused(
        self,
        ticks: npt.NDArray[np.uint8],
        now_ns: int,
        refuse_all: int,
        first: int,
        shed: int,
        timed: bool,
    ) -> int:
        return fused.step(
            ticks,
            self._state,
            self._tracker,
            self._symbols,
            self._models,  # type: ignore[arg-type]  # the caller has seen to it
            self._features,
            self._heads,
            self._out,
            self._reason,
            self._tokens,
            self.counts.array,
            self._limits,
            self._terms,
            self._times,
            self._known,
            refuse_all,
            self._context_id,
            first,
            STRATEGY_ID,
            now_ns,
            shed,
            timed,
        )

    def _staged(
        self,
        ticks: npt.NDArray[np.uint8],
        now_ns: int,
        refuse: Callable[[], int],
        first: int,
        shed: int,
        indicators: Sequence[tuple[int, Sequence[float]]],
    ) -> int:
        n = len(ticks)
        clock = time.perf_counter_ns
        stamps = [clock()]
        self._terms[kernels.NOW] = now_ns
        passed = kernels.prepare(
            ticks.view(np.uint64),
            self._columns,
            self._whole,
            self._numbers,
            self._marks,
            self._tracker,
            self._symbols,
            self._known,
            self._terms,
        )
        stamps.append(clock())
        rows = self._features[:n]
        floats = self._columns.view(np.float64)
        features.update_many(
            self._state,
            self._whole[kernels.ROW, :n],
            self._columns[kernels.TS, :n].view(np.int64),
            floats[kernels.PRICE, :n],
            floats[kernels.VOLUME, :n],
            floats[kernels.BID, :n],
            floats[kernels.ASK, :n],
            self._marks[kernels.NOT_LAST, :n],
            rows,
        )
        if shed:
            passed = self._shed(n, shed)
        for row, given in indicators:
            rows[row] = given
        stamps.append(clock())
        if passed:
            self._predict(rows)
        stamps.append(clock())
        refill(self._tokens, stamps[-1])
        passed = kernels.finish(
            n,
            self._heads,
            self._columns,
            self._whole,
            self._numbers,
            self._marks,
            self._symbols,
            self._tokens,
            self.counts.array,
            self._limits,
            int(refuse()),
            self._context_id,
            first,
            STRATEGY_ID,
            self._out,
        )
        stamps.append(clock())
        self._times[: fused.STAMPS] = stamps
        return passed

    def _shed(self, n: int, count: int) -> int:
        """Refuse the first ``count`` ticks; give how many of ``n`` are left to be predicted."""
        head = self._reason[:count]
        head[head == 0] = Reason.SHED
        return int((self._reason[:n] == 0).sum())

    def _predict(self, rows: Array) -> None:
        """Fill the heads of every row, each by its own version; one that fails refuses its own."""
        active = self._active
        if active is None:
            return
        n = len(rows)
        heads, chosen = self._heads[:n], self._marks[kernels.CANARY, :n].view(np.bool_)
        for version, mine in ((active.stable, ~chosen), (active.canary, chosen)):
            if version is None or not mine.any():
                continue
            try:
                if mine.all():
                    heads[:] = self.engine.predict(rows, version)
                else:
                    heads[mine] = self.engine.predict(rows[mine], version)
            except ModelError:
                reason = self._reason[:n]
                reason[mine & (reason == 0)] = Reason.MODEL
