"""A whole step in one compiled call: for the engine in process, not for a model behind a hop.

The same functions as the steps apart (``kernels``, ``features``, ``forward``), in blocks that stay
in the processor's first cache, so the answers have the same bits. What it saves is three calls and
the interpreter's work between them, which for one tick cost more than the arithmetic.
"""

import numpy as np
import numpy.typing as npt

from relentless.models import features
from relentless.models.compiled import compiled, monotonic_ns
from relentless.models.weights import HIDDEN
from relentless.serving import forward, kernels
from relentless.serving.gates import Reason, refill
from relentless.serving.wire import F4, I8, U1, U4

F8 = npt.NDArray[np.float64]

BLOCK_TICKS = 64
STAMPS = 5
"""Moments of a step: its start, then the end of each of the four stages. They are sums over the
blocks, so a difference is the time of a stage."""
TIMES = STAMPS + 2
"""Words of the times: the stamps, and what the clock writes to."""

_SHED = int(Reason.SHED)


@compiled
def _shed(reason: U1, count: int) -> int:
    """Refuse the first ``count`` ticks; give how many had passed."""
    refused = 0
    for i in range(count):
        if reason[i] == 0:
            reason[i] = _SHED
            refused += 1
    return refused


@compiled
def _predict(rows: F4, canary: U1, models: F4, heads: F4) -> None:
    """Fill ``heads`` from each row's own version: row 0 of ``models`` is stable, row 1 canary."""
    n = rows.shape[0]
    chosen = 0
    for i in range(n):
        chosen += canary[i]
    if chosen == 0 or chosen == n:
        model = models[1 if chosen else 0]
        forward.heads_into(rows, model[:HIDDEN], model[HIDDEN:], heads)
        return
    for i in range(n):
        model = models[canary[i]]
        forward.heads_into(rows[i : i + 1], model[:HIDDEN], model[HIDDEN:], heads[i : i + 1])


@compiled
def step(
    ticks: U1,
    state: F8,
    tracker: F8,
    symbols: I8,
    models: F4,
    rows: F4,
    heads: F4,
    out: U4,
    reasons: U1,
    tokens: F8,
    counts: I8,
    limits: F8,
    terms: I8,
    times: I8,
    known: int,
    refuse_all: int,
    context_id: np.uint64,
    first_sequence: int,
    strategy: int,
    now_ns: int,
    shed: int,
    timed: bool,
) -> int:
    """Take [N, 48] bytes of packed ticks to sealed frames in ``out`` [>= N, 16]; give what passed.

    The arguments are those of ``kernels.prepare``, ``features.update_many`` and ``kernels.finish``;
    ``models`` [2, H + P] holds the folded bias and then the packed weights of stable and canary;
    ``shed`` of the first ticks move the state and are not predicted. ``timed`` fills ``times``.
    """
    words = ticks.view(np.uint64)
    columns = np.empty((kernels.COLUMNS, BLOCK_TICKS), np.uint64)
    whole = np.empty((2, BLOCK_TICKS), np.int64)
    numbers = np.empty((2, BLOCK_TICKS), np.uint32)
    marks = np.empty((3, BLOCK_TICKS), np.uint8)
    scratch = times[STAMPS:]
    times[:STAMPS] = 0
    terms[kernels.NOW] = now_ns
    refill(tokens, monotonic_ns(scratch))
    passed = 0
    for at in range(0, words.shape[0], BLOCK_TICKS):
        end = min(at + BLOCK_TICKS, words.shape[0])
        n = end - at
        t0 = monotonic_ns(scratch) if timed else 0
        left = kernels.prepare(
            words[at:end], columns, whole, numbers, marks, tracker, symbols, known, terms
        )
        t1 = monotonic_ns(scratch) if timed else 0
        features.update_many(
            state,
            whole[kernels.ROW, :n],
            columns[kernels.TS, :n].view(np.int64),
            columns[kernels.PRICE, :n].view(np.float64),
            columns[kernels.VOLUME, :n].view(np.float64),
            columns[kernels.BID, :n].view(np.float64),
            columns[kernels.ASK, :n].view(np.float64),
            marks[kernels.NOT_LAST, :n],
            rows[at:end],
        )
        if shed > at:
            left -= _shed(marks[kernels.REASON], min(shed - at, n))
        t2 = monotonic_ns(scratch) if timed else 0
        if left > 0:
            _predict(rows[at:end], marks[kernels.CANARY], models, heads[at:end])
        t3 = monotonic_ns(scratch) if timed else 0
        first = first_sequence + passed if first_sequence > 0 else 0
        passed += kernels.finish(
            n, heads[at:end], columns, whole, numbers, marks, symbols, tokens, counts, limits,
            refuse_all, context_id, first, strategy, out[at:end],
        )  # fmt: skip
        reasons[at:end] = marks[kernels.REASON, :n]
        if timed:
            times[1] += t1 - t0
            times[2] += t2 - t1
            times[3] += t3 - t2
            times[4] += monotonic_ns(scratch) - t3
    for stage in range(1, STAMPS):
        times[stage] += times[stage - 1]
    return passed
