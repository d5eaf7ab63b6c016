"""The network in one compiled loop, on one thread: four rows at a time, then the rest one by one.

Arithmetic only; ``engine.py`` above owns weights and versions. No BLAS: its call costs more than a
few rows, and its threads make the slowest answers far slower on shared cores. A row gives the same
bits whatever stands beside it, so it does not matter how ticks were cut into chunks. A NaN or an
infinity in a feature reaches the heads, so that the gates behind them see it.
"""

import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled_with
from relentless.models.weights import DEEP, HIDDEN, Weights

Array = npt.NDArray[np.float32]
P = ParamSpec("P")
R = TypeVar("R")

BLOCK = 4
"""Rows that share each weight that is loaded; also the terms that are added in one step."""

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


def _kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile with multiply-and-add as one instruction where the machine has it."""
    return compiled_with(function, fastmath={"contract"})


def _inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile into each caller, where sizes and tables are known: twice as fast."""
    door: Callable[P, R] = numba.njit(inline="always", error_model="numpy", fastmath={"contract"})(
        function
    )
    return door


def packed(weights: Weights) -> Array:
    """Lay what follows the bias end to end: one argument is cheaper than five on every call."""
    parts = (weights.w1_features, weights.w2, weights.b2, weights.w3, weights.b3)
    return np.concatenate([np.ascontiguousarray(part, np.float32).ravel() for part in parts])


@_inlined
def _relu(row: Array, width: int) -> None:
    for m in range(width):
        x = row[m]
        row[m] = _ZERO if x <= _ZERO else x


@_inlined
def _dense_block(x: Array, w: Array, bias: Array, out: Array, terms: int, width: int) -> None:
    """Fill ``out`` [4, width] with ``x [4, terms] @ w [terms, width] + bias``."""
    out0, out1, out2, out3 = out[0], out[1], out[2], out[3]
    for m in range(width):
        out0[m] = out1[m] = out2[m] = out3[m] = bias[m]
    for k in range(0, terms, BLOCK):
        wa, wb, wc, wd = w[k], w[k + 1], w[k + 2], w[k + 3]
        xa0, xb0, xc0, xd0 = x[0, k], x[0, k + 1], x[0, k + 2], x[0, k + 3]
        xa1, xb1, xc1, xd1 = x[1, k], x[1, k + 1], x[1, k + 2], x[1, k + 3]
        xa2, xb2, xc2, xd2 = x[2, k], x[2, k + 1], x[2, k + 2], x[2, k + 3]
        xa3, xb3, xc3, xd3 = x[3, k], x[3, k + 1], x[3, k + 2], x[3, k + 3]
        for m in range(width):
            a, b, c, d = wa[m], wb[m], wc[m], wd[m]
            out0[m] = out0[m] + xa0 * a + xb0 * b + xc0 * c + xd0 * d
            out1[m] = out1[m] + xa1 * a + xb1 * b + xc1 * c + xd1 * d
            out2[m] = out2[m] + xa2 * a + xb2 * b + xc2 * c + xd2 * d
            out3[m] = out3[m] + xa3 * a + xb3 * b + xc3 * c + xd3 * d


@_inlined
def _dense_row(x: Array, w: Array, bias: Array, out: Array, terms: int, width: int) -> None:
    """Fill ``out`` [width] with one row of the same, adding as ``_dense_block`` adds."""
    for m in range(width):
        out[m] = bias[m]
    for k in range(0, terms, BLOCK):
        wa, wb, wc, wd = w[k], w[k + 1], w[k + 2], w[k + 3]
        xa, xb, xc, xd = x[k], x[k + 1], x[k + 2], x[k + 3]
        for m in range(width):
            out[m] = out[m] + xa * wa[m] + xb * wb[m] + xc * wc[m] + xd * wd[m]


@_inlined
def _heads(deep: Array, w3: Array, b3: Array, out: Array) -> None:
    """Fill ``out`` [4] with the activated heads over ``deep`` [D]."""
    a, b, c, d = b3[0], b3[1], b3[2], b3[3]
    for k in range(DEEP):
        x = deep[k]
        a += x * w3[k, 0]
        b += x * w3[k, 1]
        c += x * w3[k, 2]
        d += x * w3[k, 3]
    out[0] = _HALF * (_ONE + math.tanh(_HALF * a))
    out[1] = b
    out[2] = max(c, _ZERO) + math.log1p(math.exp(-abs(c))) if c == c else c
    out[3] = _HALF * (_ONE + math.tanh(_HALF * d))


@_kernel
def heads_into(features: Array, bias: Array, weights: Array, out: Array) -> None:
    """Fill ``out`` [N, 4] from features [N, F], a bias [H] and packed weights.

    F is a multiple of ``BLOCK``.
    """
    rows, width = features.shape
    hidden, deep = np.empty((BLOCK, HIDDEN), np.float32), np.empty((BLOCK, DEEP), np.float32)
    at = width * HIDDEN
    w1 = weights[:at].reshape(width, HIDDEN)
    w2 = weights[at : at + HIDDEN * DEEP].reshape(HIDDEN, DEEP)
    at += HIDDEN * DEEP
    b2, w3 = weights[at : at + DEEP], weights[at + DEEP : at + DEEP * 5].reshape(DEEP, 4)
    b3 = weights[at + DEEP * 5 :]
    whole = rows - rows % BLOCK
    for n in range(0, whole, BLOCK):
        _dense_block(features[n : n + BLOCK], w1, bias, hidden, width, HIDDEN)
        for i in range(BLOCK):
            _relu(hidden[i], HIDDEN)
        _dense_block(hidden, w2, b2, deep, HIDDEN, DEEP)
        for i in range(BLOCK):
            _relu(deep[i], DEEP)
            _heads(deep[i], w3, b3, out[n + i])
    for n in range(whole, rows):
        _dense_row(features[n], w1, bias, hidden[0], width, HIDDEN)
        _relu(hidden[0], HIDDEN)
        _dense_row(hidden[0], w2, b2, deep[0], HIDDEN, DEEP)
        _relu(deep[0], DEEP)
        _heads(deep[0], w3, b3, out[n])
