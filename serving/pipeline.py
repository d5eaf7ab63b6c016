"""The tick pipeline: packed ticks in, one sealed 64-byte frame out for each, in one thread.

A :class:`Lane` is one stream of ticks with its own feature state: the live feed has one, the gRPC
service another. Its steps: ``kernels.prepare`` (decode, gates), ``models.features`` (incremental),
the model (``ports.Predictor``, stable and canary), ``kernels.finish`` (policy, gates, frames). It
batches whatever has arrived and never waits. Nothing here does I/O; who calls it owns the clock,
the lease and the feed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from relentless.configs.clock import to_ns
from relentless.models import context_vector, features
from relentless.models.policy import PolicyLimits, new_tracker
from relentless.proto.daily import DailyContext
from relentless.proto.errors import ModelError
from relentless.proto.signal import SIGNAL_SIZE
from relentless.serving import kernels
from relentless.serving.gates import EmitLimits, GateCounts, Reason, new_bucket
from relentless.serving.ports import HEADS, Array, Embedded, Predictor
from relentless.serving.routing import MINUTE_NS, threshold

CAPACITY = 4_096
"""Ticks in one step; a longer batch is cut by :meth:`Lane.process`'s caller."""
KEPT_CUTS = 64
STRATEGY_ID = 1
BucketOf = Callable[[int, int], int]
"""(symbol number, minute since the Unix epoch) -> routing bucket in [0, 10,000)."""


@dataclass(frozen=True, slots=True)
class ActiveContext:
    """A daily context as the lanes use it: encoded once for each version that serves."""

    context: DailyContext
    as_of_ns: int
    stable: Embedded
    canary: Embedded | None


def activate(engine: Predictor, context: DailyContext) -> ActiveContext:
    """Encode a daily context for every version that serves.

    Raises:
        ModelError: no stable version, or the engine cannot encode.
    """
    labels = engine.labels()
    vector = context_vector.vectorise(context)
    if "stable" not in labels:
        raise ModelError("no model version has the label stable; look at the model repository")
    stable = engine.encode(vector, context.short_id, labels["stable"])
    canary = labels.get("canary")
    return ActiveContext(
        context=context,
        as_of_ns=to_ns(context.as_of),
        stable=stable,
        canary=engine.encode(vector, context.short_id, canary) if canary is not None else None,
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
    """The model's answer to each, shape [N, 4] at least; only rows that passed say anything."""

    def emitted(self) -> npt.NDArray[np.uint8]:
        """Give the frames that passed, shape [passed, 64]."""
        if self.passed == len(self.reasons):
            return self.frames
        passed: npt.NDArray[np.uint8] = self.frames[self.reasons == 0]
        return passed

    def grounds(self) -> tuple[Array, Array]:
        """Give what the model saw and said of those that passed, [passed, F] and [passed, 4]."""
        if self.passed == len(self.reasons):
            return self.features, self.heads[: self.passed]
        passed = self.reasons == 0
        return self.features[passed], self.heads[: len(passed)][passed]


class StageTimes(NamedTuple):
    """Moments of one step, ``time.perf_counter_ns``: the stages lie between them."""

    start: int
    prepared: int
    featured: int
    predicted: int
    finished: int


class Lane:
    """One stream of ticks with its own state. Not safe for two threads at once."""

    def __init__(
        self,
        engine: Predictor,
        bucket_of: BucketOf,
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
        self.canary_share = canary_share
        self.ticks = 0
        self.times = StageTimes(0, 0, 0, 0, 0)
        self._bucket_of = bucket_of
        self._known = 0
        self._limits = np.array([*(policy or PolicyLimits()), *(limits or EmitLimits())], float)
        self._tokens = new_bucket(signals_per_s)
        self._age = np.array([0, 0, 0, max_age_ns], np.int64)
        self._active: ActiveContext | None = None
        self._context_id = np.uint64(0)
        self._state = features.new_state(1)
        self._tracker = new_tracker(1)
        self._symbols = np.zeros((1, kernels.SYMBOL_COLUMNS), np.int64)
        self._scratch(CAPACITY)
        self.know(symbols)

    def _scratch(self, n: int) -> None:
        self._columns = np.zeros((kernels.COLUMNS, n), np.uint64)
        self._whole = np.zeros((3, n), np.int64)
        self._numbers = np.zeros((2, n), np.uint32)
        self._marks = np.zeros((2, n), np.uint8)
        self._features = np.zeros((n, features.FEATURES), np.float32)
        self._heads = np.zeros((n, len(HEADS)), np.float32)
        self._out = np.zeros((n, SIGNAL_SIZE // 4), np.uint32)
        self._frames = self._out.view(np.uint8)
        self._version = self._numbers[kernels.VERSION]
        self._bucket = self._whole[kernels.BUCKET_OF]
        self._reason = self._marks[kernels.REASON]
        floats = self._columns.view(np.float64)
        self._inputs = (
            self._whole[kernels.ROW],
            self._columns[kernels.TS].view(np.int64),
            *(floats[k] for k in (kernels.PRICE, kernels.VOLUME, kernels.BID, kernels.ASK)),
            self._marks[kernels.NOT_LAST],
            self._features,
        )
        self._cuts: dict[int, tuple[npt.NDArray[Any], ...]] = {}

    def _cut(self, n: int) -> tuple[npt.NDArray[Any], ...]:
        """Give the first ``n`` rows of what ``update_many`` reads and writes."""
        found = self._cuts.get(n)
        if found is None:
            found = tuple(array[:n] for array in self._inputs)
            if n <= KEPT_CUTS:
                self._cuts[n] = found
        return found

    @property
    def active(self) -> ActiveContext | None:
        """The context in force."""
        return self._active

    def use(self, active: ActiveContext | None) -> None:
        """Join every later tick to this context; None: to none, and all are refused."""
        self._active = active
        self._age[0] = active is not None
        self._age[1] = active.as_of_ns if active else 0
        self._context_id = np.uint64(active.stable.context_id if active else 0)

    def know(self, count: int) -> None:
        """Take the symbols up to number ``count`` as known; rows grow by doubling."""
        self._known = max(self._known, count)
        have = len(self._state)
        if count < have:
            return
        more = max(count + 1, 2 * have) - have
        self._state = np.concatenate([self._state, features.new_state(more)])
        self._tracker = np.concatenate([self._tracker, new_tracker(more)])
        rows = np.zeros((more, kernels.SYMBOL_COLUMNS), np.int64)
        rows[:, kernels.MINUTE] = -1
        self._symbols = np.concatenate([self._symbols, rows])

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
            refuse: asked after the model answered: a reason that holds for all, or 0.
            first_sequence: the first sequence of what passes; 0 numbers nothing.
            shed: the first ``shed`` ticks move the state and are not predicted.
            indicators: (row, F numbers) that replace a tick's own features.
        """
        n = len(ticks)
        t0 = time.perf_counter_ns()
        self._age[2] = now_ns
        passed, unrouted = kernels.prepare(
            ticks.view(np.uint64),
            self._columns,
            self._whole,
            self._numbers,
            self._marks,
            self._tracker,
            self._symbols,
            self._known,
            self._age,
        )
        if unrouted:
            self._route(n)
        t1 = time.perf_counter_ns()
        cut = self._cut(n)
        features.update_many(self._state, *cut)
        if shed:
            passed = self._shed(n, shed)
        rows = cut[-1]
        for row, given in indicators:
            rows[row] = given
        t2 = time.perf_counter_ns()
        heads, canary = self._predict(rows, passed)
        t3 = time.perf_counter_ns()
        passed = kernels.finish(
            n,
            heads,
            self._columns,
            self._whole,
            self._numbers,
            self._marks,
            self._symbols,
            self._tokens,
            self.counts.array,
            self._limits,
            refuse(),
            canary,
            self._context_id,
            first_sequence,
            STRATEGY_ID,
            t3,
            self._out,
        )
        self.ticks += n
        self.times = StageTimes(t0, t1, t2, t3, time.perf_counter_ns())
        return Output(self._frames[:n], self._reason[:n], passed, rows, heads)

    def _shed(self, n: int, count: int) -> int:
        """Refuse the first ``count`` ticks; give how many of ``n`` are left to be predicted."""
        head = self._reason[:count]
        head[head == 0] = Reason.SHED
        return int((self._reason[:n] == 0).sum())

    def _route(self, n: int) -> None:
        """Find the buckets that the symbols' rows do not hold yet: once a symbol and minute."""
        for i in np.flatnonzero(self._bucket[:n] == kernels.UNROUTED):
            row, minute = int(self._whole[kernels.ROW, i]), int(self._inputs[1][i]) // MINUTE_NS
            own = self._symbols[row]
            if own[kernels.MINUTE] != minute:
                own[kernels.BUCKET] = self._bucket_of(row, minute)
                own[kernels.MINUTE] = minute
            self._bucket[i] = own[kernels.BUCKET]

    def _predict(self, rows: Array, passed: int) -> tuple[Array, int]:
        """Give the heads of every row, and the canary's version where it took part (else 0)."""
        active = self._active
        if active is None or not passed:
            self._version[: len(rows)] = active.stable.version if active else 0
            return self._heads, 0
        try:
            return self._predict_split(rows, active)
        except ModelError:
            reason = self._reason[: len(rows)]
            reason[reason == 0] = Reason.MODEL
            return self._heads, 0

    def _predict_split(self, rows: Array, active: ActiveContext) -> tuple[Array, int]:
        n = len(rows)
        self._version[:n] = active.stable.version
        canary = active.canary
        limit = threshold(self.canary_share)
        if canary is None or limit == 0:
            return self.engine.predict(rows, active.stable), 0
        chosen = self._bucket[:n] < limit
        if not chosen.any():
            return self.engine.predict(rows, active.stable), 0
        self._version[:n][chosen] = canary.version
        if chosen.all():
            return self.engine.predict(rows, canary), canary.version
        heads = self._heads[:n]
        heads[~chosen] = self.engine.predict(rows[~chosen], active.stable)
        heads[chosen] = self.engine.predict(rows[chosen], canary)
        return heads, canary.version
