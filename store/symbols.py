"""The symbol directory: every symbol's number, for ever.

A signal names its symbol by number, so a number may never be given twice. The file is text, one
line a symbol (``id TAB symbol TAB crc32c``), only ever appended to, synced before a number is used.
One process owns it; the feed and the hub read it through that process.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from relentless.proto.errors import InvalidInput, Overloaded, StorageError

MAX_SYMBOLS = 65_536
_SYMBOL = re.compile(r"[A-Z][A-Z0-9.\-]{0,11}")


class SymbolDirectory:
    """Numbers from 1 without gaps, in the order of first sight; 0 is no symbol.

    ``path=None`` keeps the directory in memory, for tests and tools.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._names: list[str] = [""]
        self._ids: dict[str, int] = {}
        if path is not None and path.exists():
            self._load(path)

    def __len__(self) -> int:
        return len(self._names) - 1

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(enumerate(self._names[1:], start=1))

    def after(self, number: int) -> list[tuple[int, str]]:
        """Give the symbols whose number is greater than ``number``, in order."""
        return list(enumerate(self._names[number + 1 :], start=number + 1))

    def get(self, symbol: str) -> int:
        """Give a symbol's number; 0 where it has none yet."""
        return self._ids.get(symbol, 0)

    def name(self, number: int) -> str:
        """Give a number's symbol; "" where it has none."""
        return self._names[number] if 0 < number < len(self._names) else ""

    def intern(self, symbol: str) -> int:
        """Give a symbol's number, and a new durable one at first sight.

        Raises:
            InvalidInput: not a symbol: capital letters, digits, "." and "-", at most 12.
            Overloaded: the directory is full.
            StorageError: the file cannot be written; no number is given.
        """
        number = self._ids.get(symbol)
        if number is not None:
            return number
        if not _SYMBOL.fullmatch(symbol):
            raise InvalidInput(
                f"{symbol[:40]!r} is not a symbol: capital letters, digits, '.' and '-', at most 12"
            )
        number = len(self._names)
        if number > MAX_SYMBOLS:
            raise Overloaded(f"the symbol directory is full ({MAX_SYMBOLS} symbols)")
        if self._path is not None:
            _append(self._path, _line(number, symbol))
        self._names.append(symbol)
        self._ids[symbol] = number
        return number

    def _load(self, path: Path) -> None:
        raw = path.read_bytes()
        whole, _, torn = raw.rpartition(b"\n")
        for line in whole.split(b"\n") if whole else ():
            number = len(self._names)
            symbol = line.split(b"\t")[1].decode("ascii", "replace") if b"\t" in line else ""
            if symbol in self._ids or line + b"\n" != _line(number, symbol):
                raise StorageError(
                    f"{path}: line {number} is damaged; restore the file from a backup, a number "
                    "must never name another symbol"
                )
            self._names.append(symbol)
            self._ids[symbol] = number
        if torn:  # a crash in the middle of an append: that number was never used
            with path.open("r+b") as file:
                file.truncate(len(raw) - len(torn))
                os.fsync(file.fileno())


def _line(number: int, symbol: str) -> bytes:
    text = f"{number}\t{symbol}".encode()
    return b"%s\t%08x\n" % (text, google_crc32c.value(text))


def _append(path: Path, line: bytes) -> None:
    """Write one line and sync it, the folder too when the file is new."""
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise StorageError(f"{path}: cannot append: {error.strerror}") from error
