"""A disk whose power can be cut: an apsw VFS that knows which bytes were synced.

Every byte goes to the real file (so that WAL and shared memory work as they always do), and beside
it a :class:`Disk` keeps, for each file, the content as of its last ``xSync`` and the writes since.
At the cut it takes the image that a machine without power would find: what was synced, and of each
later write either nothing or, sector by sector, what chance left. The test then opens that image
as a journal, in another folder and through the ordinary VFS.

The same disk fails on demand: full, or with an ``fsync`` that errs or hangs.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import apsw

SECTOR = 512

_names = count()


@dataclass
class _Durable:
    """One file: its content as of the last sync, and what was done to it since."""

    content: bytearray
    named: bool
    """The folder was synced since the file was created."""
    since: list[tuple[int, bytes]] = field(default_factory=list)
    """Offset and bytes of a write; offset -1: cut to the size in the bytes."""

    def sync(self) -> None:
        for offset, data in self.since:
            _apply(self.content, offset, data)
        self.since.clear()

    def image(self, chance: random.Random | None) -> bytes:
        """What is found after the cut; without ``chance`` nothing that was not synced."""
        found = bytearray(self.content)
        if chance is not None:
            for offset, data in self.since:
                if offset < 0:
                    if chance.random() < 0.5:
                        _apply(found, offset, data)
                    continue
                for start in range(0, len(data), SECTOR):
                    if chance.random() < 0.5:
                        _apply(found, offset + start, data[start : start + SECTOR])
        return bytes(found)


def _apply(content: bytearray, offset: int, data: bytes) -> None:
    if offset < 0:
        del content[int.from_bytes(data) :]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk:
    """The disk under one VFS, named :attr:`vfs`; use as a context manager."""

    def __init__(self) -> None:
        self.vfs = f"powercut-{next(_names)}"
        self.syncs = 0
        self.written = 0
        """Bytes."""
        self.full = False
        self.sync_error = False
        self.sync_gate = threading.Event()
        """While it is clear, every sync hangs."""
        self.sync_gate.set()
        self.at_sync = threading.Event()
        """Set when a sync begins."""
        self.image: dict[str, bytes] | None = None
        """By file name; there once the power was cut."""
        self._files: dict[str, _Durable] = {}
        self._deleted: dict[str, bytes] = {}
        """Files that come back at the cut, because the folder was not synced since."""
        self._lock = threading.RLock()
        self._left = -1
        self._chance: random.Random | None = None
        self._at_cut: Callable[[], None] = lambda: None
        self._registered = _Vfs(self)

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *_: object) -> None:
        self.sync_gate.set()
        self._registered.unregister()

    def insert(self, folder: Path) -> None:
        """Take the files that lie there as written long ago: a cut must not forget them."""
        for path in folder.iterdir():
            if path.suffix != ".lock" and not path.name.endswith("-shm"):
                self.opened(str(path))

    def cut_after(
        self,
        operations: int,
        at_cut: Callable[[], None] = lambda: None,
        chance: random.Random | None = None,
    ) -> None:
        """Cut the power after so many writes and syncs, calling ``at_cut`` on that thread."""
        with self._lock:
            self.image, self._left, self._at_cut, self._chance = None, operations, at_cut, chance

    def cut(self, chance: random.Random | None = None) -> None:
        """Cut the power now."""
        with self._lock:
            self._left, self._chance, self._at_cut = -1, chance, lambda: None
            self._take()

    def write_image(self, folder: Path) -> None:
        """Put the image's files into a new folder."""
        assert self.image is not None
        folder.mkdir()
        for name, content in self.image.items():
            (folder / name).write_bytes(content)

    def _take(self) -> None:
        files = {path: file.image(self._chance) for path, file in self._files.items() if file.named}
        self.image = {
            Path(path).name: content for path, content in (self._deleted | files).items() if content
        }

    def _step(self) -> None:
        """Count one operation, before it happens."""
        if self._left == 0:
            self._at_cut()
            self._take()
        self._left -= 1

    def opened(self, path: str) -> None:
        with self._lock:
            if path not in self._files:
                there = Path(path)
                content = there.read_bytes() if there.exists() else b""
                self._files[path] = _Durable(bytearray(content), named=bool(content))

    def wrote(self, path: str, offset: int, data: bytes) -> None:
        with self._lock:
            if self.full:
                raise apsw.FullError("no space left on the test's disk")
            self._step()
            self.written += len(data)
            self._files[path].since.append((offset, data))

    def truncated(self, path: str, size: int) -> None:
        with self._lock:
            self._step()
            self._files[path].since.append((-1, size.to_bytes(8)))

    def synced(self, path: str) -> None:
        self.at_sync.set()
        assert self.sync_gate.wait(30)
        with self._lock:
            if self.sync_error:
                error = apsw.IOError("the test's disk cannot sync")
                error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
                raise error
            self._step()
            self.syncs += 1
            file = self._files[path]
            file.sync()
            if not file.named:
                # SQLite's unix VFS syncs the folder at the first sync of a log that it created.
                for each in self._files.values():
                    each.named = True
                self._deleted.clear()

    def deleted(self, path: str, sync_folder: bool) -> None:
        with self._lock:
            self._step()
            gone = self._files.pop(path, None)
            if gone is not None and gone.named and not sync_folder:
                self._deleted[path] = bytes(gone.content)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__(disk.vfs, "unix")
        self._disk = disk

    def xOpen(self, name, flags):
        return _File(self._disk, name, flags)

    def xDelete(self, filename, syncdir):
        super().xDelete(filename, syncdir)
        self._disk.deleted(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name, flags) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        disk.opened(self._path)
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):
        self._disk.wrote(self._path, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize):
        self._disk.truncated(self._path, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags):
        self._disk.synced(self._path)
        super().xSync(flags)
