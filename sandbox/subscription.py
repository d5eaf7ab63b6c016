"""What one client of the stream has subscribed to, and the rules for changing it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from relentless.sandbox.frames import Message

OPEN_CHANNELS: Final = (
    "trades",
    "quotes",
    "bars",
    "updatedBars",
    "dailyBars",
    "statuses",
    "lulds",
)
"""Channels that a client may name. Corrections and cancels come with the trades, unasked."""
FOLLOWING: Final = ("corrections", "cancelErrors")
FREE_SYMBOLS: Final = 30
"""How many symbols the iex feed allows in trades and quotes together."""
ALL: Final = "*"


class Refused(Exception):
    """A change that the stream refuses; ``code`` is Alpaca's."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Subscription:
    """Symbols by channel; ``begun`` is set once there are any, at market time ``since_ns``."""

    def __init__(self, feed: str) -> None:
        self._limit = FREE_SYMBOLS if feed == "iex" else None
        self._symbols: dict[str, set[str]] = {name: set() for name in OPEN_CHANNELS}
        self.begun = asyncio.Event()
        self.since_ns = 0

    def change(self, action: str, message: Mapping[str, Any], now_ns: int) -> None:
        """Subscribe or unsubscribe, at a market time.

        Raises:
            Refused: 400 for another action or a malformed list, 405 over the feed's symbol limit,
                410 for a channel that the feed does not have.
        """
        if action not in {"subscribe", "unsubscribe"} or not message:
            raise Refused(400)
        wanted = {name: set(symbols) for name, symbols in self._symbols.items()}
        for channel, symbols in message.items():
            if not isinstance(symbols, list) or not all(isinstance(name, str) for name in symbols):
                raise Refused(400)
            if channel not in wanted:
                raise Refused(410)
            if action == "subscribe":
                wanted[channel] |= set(symbols)
            else:
                wanted[channel] -= set(symbols)
        self._check_limit(wanted)
        self._symbols = wanted
        if any(wanted.values()) and not self.begun.is_set():
            self.since_ns = now_ns
            self.begun.set()

    def _check_limit(self, wanted: dict[str, set[str]]) -> None:
        named = wanted["trades"] | wanted["quotes"]
        if self._limit is not None and (len(named) > self._limit or ALL in named):
            raise Refused(405)

    def listed(self) -> dict[str, list[str]]:
        """Give the whole subscription, as the stream's answer does."""
        body = {name: sorted(symbols) for name, symbols in self._symbols.items()}
        return body | {name: body["trades"] for name in FOLLOWING}

    def wants(self, message: Message) -> bool:
        """Say whether a message goes to this client."""
        channel = "trades" if message.channel in FOLLOWING else message.channel
        symbols = self._symbols[channel]
        return message.symbol in symbols or ALL in symbols
