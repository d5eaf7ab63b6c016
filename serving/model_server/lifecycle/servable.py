"""One loaded version of one model, and the requests that are inside it.

A version that leaves is drained first: requests that hold a lease finish, new ones are sent to
another version, and only then is the session closed.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from relentless.serving.tensor_proto import RawTensor


class Session(Protocol):
    """What runs a model; ``session.SavedModelSession`` in earnest."""

    signatures: dict[str, Any]

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        """Feed tensors by graph name and fetch others, within a time where one is given."""
        ...

    def close(self) -> None:
        """Let go of the memory."""
        ...


class Servable:
    """A version with its session and the number of its users."""

    def __init__(self, name: str, version: int, folder: Path, session: Session) -> None:
        self.name = name
        self.version = version
        self.folder = folder
        self.session = session
        self._users = 0
        self._leaving = False
        self._abandoned = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Take a lease; False once the version is leaving."""
        with self._changed:
            if self._leaving:
                return False
            self._users += 1
            return True

    def leave(self) -> None:
        """Give the lease back."""
        with self._changed:
            self._users -= 1
            last = self._leaving and not self._users
            if last:
                self._changed.notify_all()
            late = last and self._abandoned
        if late:
            self.session.close()

    def drain(self, timeout_s: float) -> bool:
        """Refuse new leases, wait for the old ones, and close; False where some did not end.

        The session then stays open until its last user leaves.
        """
        with self._changed:
            self._leaving = True
            if not self._changed.wait_for(lambda: not self._users, timeout_s):
                self._abandoned = True
                return False
        self.session.close()
        return True
