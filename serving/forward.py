"""The network as two compiled paths: fused and single-threaded for few rows, BLAS for many.

Arithmetic only; ``engine.py`` above owns weights, versions and scratch. A NaN or an infinity in a
feature reaches the heads, so that the gates behind them see it.
"""

import math

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.models.weights import DEEP, HIDDEN, Weights

Array = npt.NDArray[np.float32]

FUSED_ROWS = 24
"""From here on BLAS is faster."""

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


def packed(weights: Weights) -> Array:
    """Lay what follows the bias end to end: one argument is cheaper than five on every call."""
    parts = (weights.w1_features, weights.w2, weights.b2, weights.w3, weights.b3)
    return np.concatenate([np.ascontiguousarray(part, np.float32).ravel() for part in parts])


@compiled
def _activate(a: np.float32, b: np.float32, c: np.float32, d: np.float32, out: Array) -> None:
    out[0] = _HALF * (_ONE + math.tanh(_HALF * a))
    out[1] = b
    out[2] = max(c, _ZERO) + math.log1p(math.exp(-abs(c))) if c == c else c
    out[3] = _HALF * (_ONE + math.tanh(_HALF * d))


@compiled
def fused(features: Array, bias: Array, weights: Array, scratch: Array, out: Array) -> None:
    """Fill ``out`` [N, 4] from features [N, F], a bias [H], packed weights and scratch [H + D]."""
    rows, width = features.shape
    hidden, deep = scratch[:HIDDEN], scratch[HIDDEN : HIDDEN + DEEP]
    at = width * HIDDEN
    w1 = weights[:at].reshape(width, HIDDEN)
    w2 = weights[at : at + HIDDEN * DEEP].reshape(HIDDEN, DEEP)
    at += HIDDEN * DEEP
    b2 = weights[at : at + DEEP]
    w3 = weights[at + DEEP : at + DEEP + DEEP * 4].reshape(DEEP, 4)
    b3 = weights[at + DEEP + DEEP * 4 :]
    for n in range(rows):
        hidden[:] = bias
        for f in range(width):
            x = features[n, f]
            if x != _ZERO:
                for h in range(HIDDEN):
                    hidden[h] += x * w1[f, h]
        deep[:] = b2
        for h in range(HIDDEN):
            x = hidden[h]
            if not x <= _ZERO:
                for d in range(DEEP):
                    deep[d] += x * w2[h, d]
        o0, o1, o2, o3 = b3[0], b3[1], b3[2], b3[3]
        for d in range(DEEP):
            x = deep[d]
            if not x <= _ZERO:
                o0 += x * w3[d, 0]
                o1 += x * w3[d, 1]
                o2 += x * w3[d, 2]
                o3 += x * w3[d, 3]
        _activate(o0, o1, o2, o3, out[n])


@compiled
def add_relu(table: Array, bias: Array) -> None:
    """Replace ``table`` [N, K] by ``relu(table + bias)``, keeping a NaN."""
    for n in range(table.shape[0]):
        for k in range(table.shape[1]):
            x = table[n, k] + bias[k]
            table[n, k] = _ZERO if x <= _ZERO else x


@compiled
def finish(raw: Array, bias: Array, out: Array) -> None:
    """Fill ``out`` [N, 4] with the activated heads of ``raw + bias``."""
    for n in range(raw.shape[0]):
        _activate(
            raw[n, 0] + bias[0], raw[n, 1] + bias[1], raw[n, 2] + bias[2], raw[n, 3] + bias[3],
            out[n],
        )  # fmt: skip


def blas(features: Array, bias: Array, weights: Weights, scratch: tuple[Array, ...]) -> Array:
    """Give the activated heads in the last of the scratch tables [.., H], [.., D], [.., 4] x 2."""
    n = len(features)
    hidden, deep, raw, out = (table[:n] for table in scratch)
    with np.errstate(all="ignore"):
        np.matmul(features, weights.w1_features, out=hidden)
        add_relu(hidden, bias)
        np.matmul(hidden, weights.w2, out=deep)
        add_relu(deep, weights.b2)
        np.matmul(deep, weights.w3, out=raw)
    finish(raw, weights.b3, out)
    return out
