"""Names of listed options: the OSI symbol, padded ("AAPL  240308C00172500") or not. Pure.

OCC's Options Symbology Initiative of 2010: a root of up to six characters, the expiry as yymmdd,
C or P, and the strike times 1,000 in eight digits. A root that ends in a digit (AAPL1) is a series
adjusted after a corporate action: its contract delivers something else than 100 shares. A root may
also differ from its underlying's name: SPXW are the weeklies of SPX.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from relentless.proto.errors import InvalidInput

Right = Literal["C", "P"]

_SYMBOL: Final = re.compile(r"([A-Z][A-Z0-9]{0,5}) *(\d{6})([CP])(\d{8})", re.ASCII)
_ROOTS: Final = {
    "SPX": ("SPX", "SPXW"),
    "NDX": ("NDX", "NDXP"),
    "RUT": ("RUT", "RUTW"),
    "VIX": ("VIX", "VIXW"),
    "XSP": ("XSP",),
}
"""Roots of the indices, whose chains Cboe serves under a leading underscore."""


class Osi(NamedTuple):
    """One listed contract's name."""

    root: str
    expiry: date
    right: Right
    strike: float

    @property
    def adjusted(self) -> bool:
        """Whether a corporate action changed what the contract delivers."""
        return self.root[-1].isdecimal()

    def text(self, *, padded: bool = False) -> str:
        """Write the symbol; padded, the root takes six characters."""
        root = self.root.ljust(6) if padded else self.root
        return f"{root}{self.expiry:%y%m%d}{self.right}{round(self.strike * 1000):08d}"


@lru_cache(maxsize=16_384)
def read(text: str) -> Osi:
    """Read a symbol.

    Raises:
        InvalidInput: it is none, or its date does not exist.
    """
    found = _SYMBOL.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text[:40]!r} is no OSI symbol")
    root, day, right, strike = found.groups()
    try:
        expiry = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError:
        raise InvalidInput(f"{text[:40]!r}: there is no such expiry") from None
    return Osi(root, expiry, "C" if right == "C" else "P", int(strike) / 1000)


def of_root(row: Any, key: str, roots: tuple[str, ...]) -> Osi | None:
    """Read a row's symbol; None where it has none, or another root's (an adjusted series)."""
    try:
        name = read(row[key])
    except (InvalidInput, KeyError, TypeError):
        return None
    return name if name.root in roots else None


def is_index(symbol: str) -> bool:
    """Say whether an underlying is an index, whose contracts settle in cash."""
    return symbol in _ROOTS


def roots(symbol: str) -> tuple[str, ...]:
    """Give the roots of an underlying's standard contracts; a class share's has no dot."""
    return _ROOTS.get(symbol, (symbol.replace(".", "").replace("-", ""),))
