"""The pipeline's two compiled loops: before the model, and after it.

They only put the pieces together: ``wire`` (bytes), ``gates`` (reasons), ``models.policy``
(decisions). A call costs about a microsecond for its arguments alone, so what belongs together lies
in one array; the rows and columns of those that are shared with ``pipeline`` are named here.
"""

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.models.policy import PolicyLimits, decide, half_spread, sigma_of, track
from relentless.proto.signal import Flag
from relentless.proto.tick import Condition
from relentless.serving.gates import (
    BAD_TICK,
    STALE_REASONS,
    UNKNOWN_SYMBOL,
    ContextAge,
    EmitLimits,
    bad_tick,
    signal_reason,
    take_token,
    tick_reason,
)
from relentless.serving.routing import MINUTE_NS, bucket_after
from relentless.serving.wire import F4, I8, U1, U4, U8, decode_ticks, encode_signal

TS, PRICE, BID, ASK, VOLUME, SIGMA, INTERVAL = range(7)
"""Rows of the tick columns, 64 bits each; all but TS are float64."""
COLUMNS = 7
ID, ROW = range(2)
"""Rows of the whole numbers: symbol number, row of the state."""
CONDITIONS, VERSION = range(2)
"""Rows of the 32-bit numbers."""
REASON, NOT_LAST, CANARY = range(3)
"""Rows of the bytes."""

HELD, PREFIX, STANCE, ORDER_TS, ORDER = range(5)
"""Columns of a symbol's row of integers."""
SYMBOL_COLUMNS = 5

PRESENT, AS_OF, NOW, MAX_AGE, CANARY_BUCKETS, STABLE, CANARY_VERSION = range(7)
"""The terms of a step: the fields of ``gates.ContextAge``, then how many buckets go to the canary,
and the two versions (0 where there is no context)."""
TERMS = 7

_NOT_LAST = int(Condition.NOT_LAST)
_SYNTHETIC_TICK = int(Condition.SYNTHETIC)
_SYNTHETIC = int(Flag.SYNTHETIC)
_CANARY_FLAG = int(Flag.CANARY)
_STALE = int(Flag.STALE)
_NO_CONTEXT, _STALE_CONTEXT = STALE_REASONS

F8 = npt.NDArray[np.float64]


@compiled
def prepare(
    words: U8,
    columns: U8,
    whole: I8,
    numbers: U4,
    marks: U1,
    tracker: F8,
    symbols: I8,
    known: int,
    terms: I8,
) -> int:
    """Decode [N, 6] words of packed ticks and meet the gates that need no model.

    Symbol numbers 1 to ``known`` are the directory's and are rows. A tick that cannot be, or of no
    such symbol, gets row 0, which is nobody's, so that a real symbol's features never see it.

    Returns:
        How many ticks passed.
    """
    n = words.shape[0]
    decode_ticks(words, columns, whole[ID], numbers[CONDITIONS])
    ts = columns[TS].view(np.int64)
    price = columns[PRICE].view(np.float64)
    bid = columns[BID].view(np.float64)
    ask = columns[ASK].view(np.float64)
    volume = columns[VOLUME].view(np.float64)
    sigma = columns[SIGMA].view(np.float64)
    interval = columns[INTERVAL].view(np.float64)
    reason, not_last = marks[REASON], marks[NOT_LAST]
    canary, version = marks[CANARY], numbers[VERSION]
    rows = whole[ROW]
    context = ContextAge(terms[PRESENT] != 0, terms[AS_OF], terms[NOW], terms[MAX_AGE])
    passed = 0
    for i in range(n):
        volume[i] = float(np.int64(columns[VOLUME, i]))
        not_last[i] = np.uint8((numbers[CONDITIONS, i] & np.uint32(_NOT_LAST)) != 0)
        row = rows[i] = whole[ID, i]
        reason[i] = canary[i] = 0
        version[i] = terms[STABLE]
        if not 0 < row <= known:
            reason[i] = UNKNOWN_SYMBOL
        elif bad_tick(ts[i], price[i], bid[i], ask[i], volume[i]):
            reason[i] = BAD_TICK
        if reason[i] != 0:
            rows[i] = 0
            ts[i] = max(ts[i], 0)
            price[i] = bid[i] = ask[i] = volume[i] = 0.0
            continue
        own = tracker[row]
        track(own, ts[i], price[i], not_last[i] != 0)
        sigma[i] = sigma_of(own)
        interval[i] = own[4]
        reason[i] = tick_reason(ts[i], bid[i], ask[i], symbols[row, HELD], own[0], context)
        passed += reason[i] == 0
        if terms[CANARY_BUCKETS] > 0:
            bucket = bucket_after(symbols[row, PREFIX], ts[i] // MINUTE_NS)
            if bucket < terms[CANARY_BUCKETS]:
                canary[i] = 1
                version[i] = terms[CANARY_VERSION]
    return passed


@compiled
def _flags(conditions: np.uint32, canary: bool, reason: int) -> int:
    mark = _SYNTHETIC if conditions & np.uint32(_SYNTHETIC_TICK) else 0
    if canary:
        mark |= _CANARY_FLAG
    if reason in (_NO_CONTEXT, _STALE_CONTEXT):
        mark |= _STALE
    return mark


@compiled
def finish(
    n: int,
    heads: F4,
    columns: U8,
    whole: I8,
    numbers: U4,
    marks: U1,
    symbols: I8,
    tokens: F8,
    counts: I8,
    limits: F8,
    refuse_all: int,
    context_id: np.uint64,
    first_sequence: int,
    strategy: int,
    out: U4,
) -> int:
    """Decide, gate and encode ``n`` ticks to ``out`` [>= n, 16]; give how many passed.

    What passes takes the sequences from ``first_sequence`` on (0 numbers nothing), and ``symbols``
    learns it. What is refused leaves as a hold without size or levels, so that nobody can act on
    it. ``refuse_all`` is a reason that holds for every tick (halt, lease), or 0. ``limits`` holds
    the fields of ``PolicyLimits`` and then those of ``EmitLimits``; ``counts`` counts the reasons;
    ``tokens`` were refilled by the caller.
    """
    ts = columns[TS].view(np.int64)
    price = columns[PRICE].view(np.float64)
    bid = columns[BID].view(np.float64)
    ask = columns[ASK].view(np.float64)
    sigma = columns[SIGMA].view(np.float64)
    interval = columns[INTERVAL].view(np.float64)
    reason = marks[REASON]
    policy = PolicyLimits(limits[0], limits[1], limits[2], limits[3], limits[4])
    emit = EmitLimits(limits[5], limits[6])
    passed = 0
    for i in range(n):
        own = symbols[whole[ROW, i]]
        action, risk, urgency = 0, 255, 0
        confidence = target = stop = size = 0.0
        if reason[i] == 0:
            action, confidence, target, stop, size, risk, urgency = decide(
                float(heads[i, 0]),
                float(heads[i, 1]),
                float(heads[i, 2]),
                float(heads[i, 3]),
                price[i],
                half_spread(bid[i], ask[i]),
                sigma[i],
                interval[i],
                own[STANCE],
                policy,
            )
            levels = (confidence, target, stop, size)
            why = _gate(ts[i], price[i], action, levels, own, refuse_all, emit, tokens)
            reason[i] = why
            if why != 0:
                action, risk, urgency = 0, 255, 0
                confidence = target = stop = size = 0.0
        sequence = first_sequence + passed if reason[i] == 0 and first_sequence > 0 else 0
        passed += reason[i] == 0
        counts[reason[i]] += 1
        encode_signal(
            out[i],
            ts[i],
            whole[ID, i],
            action,
            confidence,
            target,
            stop,
            size,
            risk,
            urgency,
            strategy,
            sequence,
            context_id,
            numbers[VERSION, i],
            _flags(numbers[CONDITIONS, i], marks[CANARY, i] != 0, reason[i]),
        )
    return passed


@compiled
def _gate(
    ts_ns: int,
    price: float,
    action: int,
    levels: tuple[float, float, float, float],
    own: I8,
    refuse_all: int,
    emit: EmitLimits,
    tokens: F8,
) -> int:
    """Give the reason against a decision, or 0; what passes is noted in the symbol's row."""
    confidence, target, stop, size = levels
    why = signal_reason(
        ts_ns, price, action, confidence, target, stop, size, own[ORDER_TS], own[ORDER], emit
    )
    if refuse_all != 0:
        why = refuse_all
    if why == 0:
        why = take_token(tokens)
    if why == 0:
        own[STANCE] = action
        if action != 0:
            own[ORDER_TS] = ts_ns
            own[ORDER] = action
    return why
