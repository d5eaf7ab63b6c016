"""The recorded IBM tape of 7 October 2013 as Alpaca messages.

The files are a vendor's: milliseconds since midnight in New York, prices times 10,000, flags in
hexadecimal. Trades and quotes are the vendor's rows; bars are aggregated here by the rule of that
recording. Repeated rows are real trades and are kept. There are no corrections, cancels or
statuses on this tape.
"""

import zipfile
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from relentless.configs.clock import EASTERN, to_ns
from relentless.proto.contexts import Origin
from relentless.sandbox import frames
from relentless.sandbox.bars import RECORDED_TAPE, Trade, minute_bars
from relentless.sandbox.frames import Message

TAPE: Final = "A"
_MS: Final = 1_000_000
_CONDITIONS: Final = (
    (0x1, " "),
    (0x20, "F"),
    (0x2000, "T"),
    (0x200, "4"),
    (0x100000, "B"),
    (0x40000, "V"),
    (0x40, "O"),
    (0x80, "6"),
    (0x1000000, "M"),
    (0x4000000, "Q"),
    (0x800, "L"),
    (0x4000, "Z"),
    (0x2, "C"),
    (0x4, "N"),
)
"""Flags of the recording and their condition codes; trade-through exempt has none."""
_Side = tuple[str, str, int]


class RecordedTape:
    """One symbol's day from a folder of recordings."""

    origin = Origin.RECORDED

    def __init__(self, folder: Path, symbol: str, day: date) -> None:
        self._stem = f"lean_{symbol}_{day:%Y%m%d}"
        self._folder = folder / "ticks"
        self._symbol = symbol
        self._midnight = to_ns(datetime.combine(day, time(), EASTERN))

    @property
    def exists(self) -> bool:
        """Whether the recordings hold this symbol on this day."""
        return (self._folder / f"{self._stem}_trade.zip").exists()

    def prepare(self) -> None:
        """Read the files."""
        _ = self._times

    def play(self, after_ns: int) -> Iterator[Message]:
        """Give the messages later than ``after_ns``, in order of time."""
        yield from self._messages[bisect_right(self._times, after_ns) :]

    @cached_property
    def _messages(self) -> list[Message]:
        trades = list(self._trades())
        bars = minute_bars((bare for bare, _ in trades), RECORDED_TAPE)
        # A bar goes out before the trades and quotes of the instant at which its minute ends.
        found = [
            *(frames.bar(self._symbol, body) for body in bars),
            *self._quotes(),
            *(message for _, message in trades),
        ]
        return sorted(found, key=lambda message: message.ns)

    @cached_property
    def _times(self) -> list[int]:
        return [message.ns for message in self._messages]

    def _rows(self, kind: str) -> Iterator[list[str]]:
        with zipfile.ZipFile(self._folder / f"{self._stem}_{kind}.zip") as archive:
            text = archive.read(archive.namelist()[0]).decode("ascii")
        for line in text.splitlines():
            yield line.split(",")

    def _trades(self) -> Iterator[tuple[Trade, Message]]:
        for number, (ms, raw, size, exchange, flags, _) in enumerate(self._rows("trade"), 1):
            ns = self._midnight + int(ms) * _MS
            bits = int(flags, 16)
            codes = _codes(bits)
            price = _price(raw)
            yield (
                Trade(ns, float(price), int(size), codes),
                frames.trade(ns, self._symbol, number, exchange, price, int(size), codes, TAPE),
            )

    def _quotes(self) -> Iterator[Message]:
        """Put each pair of rows (a bid and an ask of one instant) into one quote."""
        bid: _Side = (" ", "0", 0)
        ask: _Side = (" ", "0", 0)
        held: int | None = None
        for ms, bid_price, bid_size, ask_price, ask_size, exchange, *_ in self._rows("quote"):
            at = int(ms)
            if held is not None and held != at:
                yield self._quote(held, bid, ask)
                held = None
            if bid_price != "0":
                if held is not None:
                    yield self._quote(held, bid, ask)
                bid = (exchange, _price(bid_price), int(bid_size))
                held = at
            else:
                ask = (exchange, _price(ask_price), int(ask_size))
                held = None
                yield self._quote(at, bid, ask)
        if held is not None:
            yield self._quote(held, bid, ask)

    def _quote(self, ms: int, bid: _Side, ask: _Side) -> Message:
        return frames.quote(self._midnight + ms * _MS, self._symbol, bid, ask, TAPE)


@lru_cache(maxsize=256)
def _codes(bits: int) -> tuple[str, ...]:
    return tuple(code for bit, code in _CONDITIONS if bits & bit)


@lru_cache(maxsize=4096)
def _price(raw: str) -> str:
    """Write ten-thousandths as a decimal number, exactly."""
    whole, rest = divmod(int(raw), 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")
