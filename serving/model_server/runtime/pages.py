"""Lets go of the pages that opening TensorFlow's library has touched and nobody needs again.

Resolving a million relocations reads three hundred megabytes of tables. They stay in the process's
resident set, though they are the file's own pages; what is still needed comes back from the page
cache when it is used. On systems other than Linux nothing is done.
"""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

MAPS = Path("/proc/self/smaps")
MADV_DONTNEED = 4

_HEAD = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)")
_ANONYMOUS = re.compile(rb"Anonymous: +([0-9]+) kB")


def release(library: str) -> int:
    """Let go of the untouched file pages of every mapping whose path holds ``library``.

    Only mappings that cannot be written and hold no page of their own are dropped: a page with a
    relocation in it would come back without it.

    Returns:
        The number of bytes of the mappings that were let go.
    """
    try:
        advise = ctypes.CDLL(None, use_errno=True).madvise
        text = MAPS.read_bytes()
    except (OSError, AttributeError):
        return 0
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    dropped = 0
    for start, length in clean_mappings(text, library):
        if advise(start, length, MADV_DONTNEED) == 0:
            dropped += length
    return dropped


def clean_mappings(smaps: bytes, library: str) -> Iterator[tuple[int, int]]:
    """Give start and length of the mappings of a library that hold nothing but the file."""
    wanted = library.encode()
    current: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if head := _HEAD.fullmatch(line):
            start, end = int(head[1], 16), int(head[2], 16)
            clean = head[3] in (b"r--p", b"r-xp") and wanted in head[4]
            current = (start, end - start) if clean else None
        elif current and (found := _ANONYMOUS.fullmatch(line)):
            if found[1] == b"0":
                yield current
            current = None
