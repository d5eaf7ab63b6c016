"""The pipeline's two compiled loops: before the model, and after it.

They only put the pieces together: ``wire`` (bytes), ``gates`` (reasons), ``models.policy``
(decisions). Column numbers of the arrays that they share with ``pipeline`` stand here.
"""

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.models.policy import (
    PolicyLimits,
    decide,
    half_spread,
    sigma_of,
    track,
)
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
from relentless.serving.routing import MINUTE_NS
from relentless.serving.wire import F4, I8, U1, U2, U4, U8, decode_ticks, encode_signals

TS, PRICE, BID, ASK, VOLUME, SIGMA, INTERVAL = range(7)
"""Rows of the tick columns; all but TS are float64 bits."""
COLUMNS = 7

HELD, MINUTE, BUCKET, STANCE, ORDER_TS, ORDER = range(6)
"""Columns of a symbol's row of integers."""
SYMBOL_COLUMNS = 6

UNROUTED = -1

_NOT_LAST = int(Condition.NOT_LAST)
_SYNTHETIC_TICK = int(Condition.SYNTHETIC)
_SYNTHETIC = int(Flag.SYNTHETIC)
_CANARY = int(Flag.CANARY)
_STALE = int(Flag.STALE)
_NO_CONTEXT, _STALE_CONTEXT = STALE_REASONS

F8 = npt.NDArray[np.float64]


@compiled
def prepare(
    words: U8,
    columns: U8,
    symbol_ids: I8,
    rows: I8,
    conditions: U4,
    not_last: U1,
    reason: U1,
    bucket: I8,
    tracker: F8,
    symbols: I8,
    known: int,
    age: ContextAge,
) -> int:
    """Decode [N, 6] words of packed ticks and meet the gates that need no model.

    Symbol numbers 1 to ``known`` are the directory's and are rows. A tick that cannot be, or of no
    such symbol, gets row 0, which is nobody's, so that a real symbol's features never see it.
    ``bucket`` gets the symbol's routing bucket of the tick's minute, or ``UNROUTED`` where it is
    not known yet.

    Returns:
        How many ticks passed with an unknown bucket.
    """
    n = words.shape[0]
    decode_ticks(words, columns, symbol_ids, conditions)
    ts = columns[TS].view(np.int64)
    price = columns[PRICE].view(np.float64)
    bid = columns[BID].view(np.float64)
    ask = columns[ASK].view(np.float64)
    volume = columns[VOLUME].view(np.float64)
    sigma = columns[SIGMA].view(np.float64)
    interval = columns[INTERVAL].view(np.float64)
    unrouted = 0
    for i in range(n):
        volume[i] = float(np.int64(columns[VOLUME, i]))
        not_last[i] = np.uint8((conditions[i] & np.uint32(_NOT_LAST)) != 0)
        row = rows[i] = symbol_ids[i]
        if not 0 < row <= known:
            reason[i] = UNKNOWN_SYMBOL
        elif bad_tick(ts[i], price[i], bid[i], ask[i], volume[i]):
            reason[i] = BAD_TICK
        else:
            reason[i] = 0
        if reason[i] != 0:
            rows[i] = 0
            ts[i] = max(ts[i], 0)
            price[i] = bid[i] = ask[i] = volume[i] = 0.0
            bucket[i] = 0
            continue
        own = tracker[row]
        track(own, ts[i], price[i], not_last[i] != 0)
        sigma[i] = sigma_of(own)
        interval[i] = own[4]
        reason[i] = tick_reason(ts[i], bid[i], ask[i], symbols[row, HELD], own[0], age)
        minute = ts[i] // MINUTE_NS
        bucket[i] = symbols[row, BUCKET] if symbols[row, MINUTE] == minute else UNROUTED
        if bucket[i] == UNROUTED and reason[i] == 0:
            unrouted += 1
    return unrouted


@compiled
def _flags(conditions: np.uint32, canary: bool, reason: int) -> int:
    mark = _SYNTHETIC if conditions & np.uint32(_SYNTHETIC_TICK) else 0
    if canary:
        mark |= _CANARY
    if reason in (_NO_CONTEXT, _STALE_CONTEXT):
        mark |= _STALE
    return mark


@compiled
def finish(
    n: int,
    heads: F4,
    columns: U8,
    rows: I8,
    symbol_ids: I8,
    conditions: U4,
    reason: U1,
    version: U4,
    canary_version: int,
    floats: F4,
    integers: U4,
    bytes2: U1,
    flags: U2,
    symbols: I8,
    tokens: F8,
    refuse_all: int,
    policy: PolicyLimits,
    limits: EmitLimits,
    context_id: np.uint64,
    first_sequence: int,
    strategy: int,
    out: U4,
) -> int:
    """Decide, gate and encode ``n`` ticks; give how many passed.

    ``refuse_all`` is a reason that holds for every tick (halt, lease), or 0. What is refused leaves
    as a hold without size or levels, so that nobody can act on it. ``symbols`` learns what passed.
    """
    ts = columns[TS].view(np.int64)
    price = columns[PRICE].view(np.float64)
    bid = columns[BID].view(np.float64)
    ask = columns[ASK].view(np.float64)
    sigma = columns[SIGMA].view(np.float64)
    interval = columns[INTERVAL].view(np.float64)
    for i in range(n):
        row = rows[i]
        action = 0
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
                symbols[row, STANCE],
                policy,
            )
            why = signal_reason(
                ts[i],
                price[i],
                action,
                confidence,
                target,
                stop,
                size,
                symbols[row, ORDER_TS],
                symbols[row, ORDER],
                limits,
            )
            if refuse_all != 0:
                why = refuse_all
            if why == 0:
                why = take_token(tokens)
            reason[i] = why
            if why == 0:
                floats[0, i] = confidence
                floats[1, i] = target
                floats[2, i] = stop
                floats[3, i] = size
                bytes2[0, i] = risk
                bytes2[1, i] = urgency
                symbols[row, STANCE] = action
                if action != 0:
                    symbols[row, ORDER_TS] = ts[i]
                    symbols[row, ORDER] = action
        if reason[i] != 0:
            action = 0
            floats[:, i] = 0.0
            bytes2[0, i] = 255
            bytes2[1, i] = 0
        integers[i] = action
        canary = canary_version != 0 and version[i] == canary_version
        flags[i] = _flags(conditions[i], canary, reason[i])
    return encode_signals(
        n,
        columns[TS],
        symbol_ids,
        integers,
        floats.view(np.uint32),
        bytes2[0],
        bytes2[1],
        strategy,
        reason,
        first_sequence,
        context_id,
        version,
        flags,
        out,
    )
