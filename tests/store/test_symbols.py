"""A symbol's number is given once, for ever."""

from pathlib import Path

import pytest

from relentless.proto.errors import InvalidInput, StorageError
from relentless.store.symbols import SymbolDirectory


def test_numbers_begin_at_one_and_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "predictor" / "symbols.tsv"
    first = SymbolDirectory(path)
    assert [first.intern(s) for s in ("SPY", "XLF", "SPY", "BRK.B")] == [1, 2, 1, 3]
    again = SymbolDirectory(path)
    assert list(again) == [(1, "SPY"), (2, "XLF"), (3, "BRK.B")]
    assert again.intern("TLT") == 4
    assert (again.name(2), again.get("XLF"), again.get("NONE"), again.name(99)) == ("XLF", 2, 0, "")
    assert again.after(2) == [(3, "BRK.B"), (4, "TLT")]


@pytest.mark.parametrize("name", ["", "spy", "A" * 13, "A B", "1A", "Ä", "A\tB", "A\n"])
def test_what_is_no_symbol_gets_no_number(name: str) -> None:
    directory = SymbolDirectory()
    with pytest.raises(InvalidInput):
        directory.intern(name)
    assert len(directory) == 0


def test_a_line_torn_by_a_crash_was_never_used_and_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "symbols.tsv"
    directory = SymbolDirectory(path)
    directory.intern("SPY")
    whole = path.read_bytes()
    directory.intern("XLF")
    full = path.read_bytes()
    for cut in range(len(whole), len(full)):
        path.write_bytes(full[:cut])
        again = SymbolDirectory(path)
        assert list(again) == [(1, "SPY")]
        assert again.intern("TLT") == 2
        assert list(SymbolDirectory(path)) == [(1, "SPY"), (2, "TLT")]


@pytest.mark.promise("P3")
def test_damage_is_an_error_and_never_another_symbol(tmp_path: Path) -> None:
    path = tmp_path / "symbols.tsv"
    directory = SymbolDirectory(path)
    for symbol in ("SPY", "XLF", "TLT"):
        directory.intern(symbol)
    whole = path.read_bytes()
    for at in range(len(whole) - 1):  # the last newline's loss is a torn line
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(StorageError):
                SymbolDirectory(path)
