"""Alpaca's market-data messages as text: one JSON object each, ready to be put into an array.

Field names and the form of timestamps (RFC 3339 in UTC, up to nine decimals, no trailing zeros)
are the stream's own. A message knows its time and its channel so that the stream can pace and
filter without parsing.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from relentless.proto.contexts import Origin
from relentless.sandbox.bars import MINUTE_NS, Bar

CHANNELS: Final = {
    "t": "trades",
    "q": "quotes",
    "b": "bars",
    "s": "statuses",
    "c": "corrections",
    "x": "cancelErrors",
}
"""Message types that the sandbox sends, and the channels that carry them."""


class Message(NamedTuple):
    """One market-data message."""

    ns: int
    """When it goes out, in ns since the Unix epoch."""
    channel: str
    symbol: str
    text: str


class Tape(Protocol):
    """A source of market data."""

    @property
    def origin(self) -> Origin:
        """Recorded or synthetic."""
        ...

    def prepare(self) -> None:
        """Do the slow part of the work, once; it may be called in a thread."""
        ...

    def play(self, after_ns: int) -> Iterator[Message]:
        """Give the messages later than ``after_ns``, in order of time; it may never end."""
        ...


def stamp(ns: int) -> str:
    """Write a time as Alpaca does."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1024)
def _codes(conditions: tuple[str, ...]) -> str:
    return json.dumps(conditions)


def trade(
    ns: int,
    symbol: str,
    identity: int,
    exchange: str,
    price: str,
    size: int,
    conditions: tuple[str, ...],
    tape: str,
) -> Message:
    """Write a trade."""
    text = (
        f'{{"T":"t","S":"{symbol}","i":{identity},"x":"{exchange}","p":{price},"s":{size},'
        f'"c":{_codes(conditions)},"z":"{tape}","t":"{stamp(ns)}"}}'
    )
    return Message(ns, "trades", symbol, text)


def quote(
    ns: int,
    symbol: str,
    bid: tuple[str, str, int],
    ask: tuple[str, str, int],
    tape: str,
) -> Message:
    """Write a quote; a side is its exchange, price and size."""
    text = (
        f'{{"T":"q","S":"{symbol}","bx":"{bid[0]}","bp":{bid[1]},"bs":{bid[2]},'
        f'"ax":"{ask[0]}","ap":{ask[1]},"as":{ask[2]},"c":["R"],"z":"{tape}","t":"{stamp(ns)}"}}'
    )
    return Message(ns, "quotes", symbol, text)


def bar(symbol: str, body: Bar) -> Message:
    """Write a minute bar; it goes out when its minute has ended."""
    text = (
        f'{{"T":"b","S":"{symbol}","o":{body.open!r},"h":{body.high!r},"l":{body.low!r},'
        f'"c":{body.close!r},"v":{body.volume},"n":{body.count},"vw":{body.vwap!r},'
        f'"t":"{stamp(body.start_ns)}"}}'
    )
    return Message(body.start_ns + MINUTE_NS, "bars", symbol, text)


def status(ns: int, symbol: str, code: str, words: str, tape: str) -> Message:
    """Write a trading status."""
    text = (
        f'{{"T":"s","S":"{symbol}","sc":"{code}","sm":"{words}","rc":"","rm":"",'
        f'"t":"{stamp(ns)}","z":"{tape}"}}'
    )
    return Message(ns, "statuses", symbol, text)


def cancel(
    ns: int, symbol: str, identity: int, exchange: str, price: str, size: int, tape: str
) -> Message:
    """Write a cancelled trade."""
    text = (
        f'{{"T":"x","S":"{symbol}","i":{identity},"x":"{exchange}","p":{price},"s":{size},'
        f'"a":"C","z":"{tape}","t":"{stamp(ns)}"}}'
    )
    return Message(ns, "cancelErrors", symbol, text)


def correction(
    ns: int,
    symbol: str,
    exchange: str,
    old: tuple[int, str, int],
    new: tuple[int, str, int],
    conditions: tuple[str, ...],
    tape: str,
) -> Message:
    """Write a corrected trade; each side is its id, price and size."""
    codes = _codes(conditions)
    text = (
        f'{{"T":"c","S":"{symbol}","x":"{exchange}",'
        f'"oi":{old[0]},"op":{old[1]},"os":{old[2]},"oc":{codes},'
        f'"ci":{new[0]},"cp":{new[1]},"cs":{new[2]},"cc":{codes},"z":"{tape}","t":"{stamp(ns)}"}}'
    )
    return Message(ns, "corrections", symbol, text)
