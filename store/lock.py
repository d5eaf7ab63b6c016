"""Exclusive ownership of a file by one process, for as long as that process lives.

A ``flock`` on a file beside the owned one: the kernel drops it at the owner's death, however it
died, so that start-up after a crash needs no cleaning.
"""

import fcntl
import os
from pathlib import Path

from relentless.proto.errors import JournalBusy


class OwnerLock:
    """Held from construction until :meth:`release`.

    Raises:
        JournalBusy: another owner, in this process or another one, holds it.
    """

    def __init__(self, owned: Path) -> None:
        self._descriptor = os.open(
            owned.with_name(owned.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise JournalBusy(
                f"{owned} is owned by process {owner or 'unknown'}; stop it, or use another folder"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next owner in. The file stays: to delete it would race with that owner."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents so that they survive a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
