"""Raw upstream bodies, kept by what they are: ``<folder>/ab/cdef...`` for SHA-256 ``abcdef...``.

The hash in a message's evidence finds the bytes it was read from. Above: the upstream client.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path


class RawStore:
    """A folder of bodies, written once each and never changed; old ones go, by age or size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Give where the body with this SHA-256, in hex, lies."""
        return self._folder / digest[:2] / digest[2:]

    def put(self, body: bytes) -> str:
        """Keep a body and give its SHA-256 in hex.

        A file appears whole or not at all: it is written beside its place and renamed.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        digest = hashlib.sha256(body).hexdigest()
        path = self.path(digest)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return digest

    def prune(self, *, max_age_s: float, max_bytes: int) -> int:
        """Remove bodies that no answer gave for so long, and the oldest past a size; give how many.

        Age counts from when a body was last put. Files that are being written stay.
        """
        kept = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                kept.append((stat.st_mtime, stat.st_size, path))
        kept.sort(key=lambda file: (file[0], file[2]), reverse=True)
        oldest, total, removed = time.time() - max_age_s, 0, 0
        for touched, size, path in kept:
            total += size
            if (touched < oldest or total > max_bytes) and not path.name.startswith(".new-"):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def get(self, digest: str) -> bytes:
        """Give a body.

        Raises:
            FileNotFoundError: no such body is kept.
        """
        return self.path(digest).read_bytes()
