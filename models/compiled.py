"""A typed door to numba: functions compiled to machine code, cached on disk, without the GIL."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call for the argument types given; keep the result beside the source.

    No fast-math: the same input gives the same bits on every call.
    """
    door: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return door
