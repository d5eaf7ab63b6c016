"""Raw upstream bodies, kept by what they are: ``<folder>/ab/cdef...`` for SHA-256 ``abcdef...``.

The hash in a message's evidence finds the bytes it was read from. Above: the upstream client.
"""

import hashlib
import os
import tempfile
from pathlib import Path


class RawStore:
    """A folder of bodies, written once each and never changed."""

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
        if path.exists():
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

    def get(self, digest: str) -> bytes:
        """Give a body.

        Raises:
            FileNotFoundError: no such body is kept.
        """
        return self.path(digest).read_bytes()
