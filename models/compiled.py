"""A typed door to numba: functions compiled to machine code, cached on disk, without the GIL."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba.core import types

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = Path(__file__).resolve().parents[1]
_CONSTANTS = ("models/feature_spec.py", "models/weights.py", "proto/signal.py", "proto/tick.py")
"""What compiled code takes as constants, beside the modules that are compiled."""


def _sources() -> str:
    """Give a digest of every source that compiled code is made of.

    numba looks only at a function's own file; what it calls in others, and constants from there,
    are compiled into it all the same.
    """
    digest = hashlib.sha256()
    folders = (_PACKAGE / "models", _PACKAGE / "serving")
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        text = path.read_bytes()
        if b"models.compiled" in text or path.name == Path(__file__).name:
            digest.update(text)
    for name in _CONSTANTS:
        digest.update((_PACKAGE / name).read_bytes())
    return digest.hexdigest()[:16]


_config: Any = numba.config
_config.CACHE_DIR = str(
    Path(_config.CACHE_DIR or Path(__file__).parent / "__pycache__") / f"compiled-{_sources()}"
)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call for the argument types given; keep the result on disk.

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


_CLOCK = time.CLOCK_MONOTONIC
_clock_gettime: Any = types.ExternalFunction(
    "clock_gettime",
    types.int32(types.int32, types.CPointer(types.int64)),  # type: ignore[no-untyped-call]
)


@compiled
def monotonic_ns(scratch: npt.NDArray[np.int64]) -> int:
    """Read the system's monotonic clock from compiled code; ``scratch`` holds two words."""
    _clock_gettime(_CLOCK, scratch.ctypes)
    return int(scratch[0]) * 1_000_000_000 + int(scratch[1])
