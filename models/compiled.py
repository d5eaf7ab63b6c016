"""A typed door to numba: functions compiled to machine code, cached on disk, without the GIL."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call for the argument types given; keep the result beside the source.

    No fast-math: the same input gives the same bits on every call.
    """
    return compiled_with(function)


def compiled_with(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    """Compile as :func:`compiled` does, with further options of numba's.

    Where no folder can be written to (a read-only install whose user has no home) nothing is kept,
    and every process compiles for itself.
    """
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        door: Callable[P, R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        door = numba.njit(**options)(function)
    return door
