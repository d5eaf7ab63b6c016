"""Alpaca's market-data stream as words of ours: times, conditions, statuses, error codes. Pure.

``ingest`` speaks the protocol; this module says what its values mean.
"""

from datetime import date
from functools import lru_cache
from typing import Final

from relentless.proto.errors import SourceError, SourceRejected, SourceUnavailable
from relentless.proto.tick import Condition

SOURCE: Final = "alpaca"
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_NS: Final = 86_400_000_000_000

_CTA_NOT_LAST: Final = frozenset("BCHIMNPQRUVZ47")
_UTP_NOT_LAST: Final = frozenset("CGHIMNPQRUVWZ247")
"""Sale conditions that do not update the consolidated last price: tapes A and B follow the CTS
specification's table, tape C the UTP one. Conditional ones (P, Z, 4, G) count as not last. Form T
is left out of both: it does not move the session's consolidated last, but before the opening and
after the close there is no other price."""
_RECORDED_NOT_LAST: Final = frozenset("F4BVCMQ")
"""The rule of the recorded tape's own minute bars, which also leave out sweeps (F); it does not
hold for a trade marked T."""

_HALTING: Final = frozenset("2HPQ")
"""Status codes that stop trading: halt (CTA 2, UTP H), pause (P), quotation only (Q)."""
_RESUMING: Final = frozenset("3T")

_TRANSIENT: Final = {
    404: "authentication timed out",
    406: "another connection of this account is open",
    407: "this client was too slow",
    500: "internal error",
}
_FINAL: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "authentication failed: check ALPACA_API_KEY and ALPACA_SECRET_KEY",
    403: "already authenticated",
    405: "too many symbols for this subscription",
    408: "the v2 stream is not enabled for this account",
    409: "insufficient subscription for this feed",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
}


def error_of(code: int, message: str) -> SourceError:
    """Give the error that a control frame's code stands for."""
    if code in _FINAL:
        return SourceRejected(SOURCE, f"{code}: {_FINAL[code]}")
    return SourceUnavailable(SOURCE, f"{code}: {_TRANSIENT.get(code, message[:80])}")


@lru_cache(maxsize=64)
def _day_ns(text: str) -> int:
    return (date.fromisoformat(text).toordinal() - _EPOCH) * _DAY_NS


def parse_ns(text: str) -> int:
    """Give an RFC 3339 time as ns since the Unix epoch, exactly, with up to nine decimals.

    Raises:
        ValueError: not such a time.
    """
    if len(text) < 20 or text[10] not in "Tt " or text[13] != ":" or text[16] != ":":
        raise ValueError(f"not an RFC 3339 time: {text[:40]!r}")
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    rest = text[19:]
    fraction = 0
    if rest[0] == ".":
        digits = rest[1:].rstrip("Zz") if rest[-1] in "Zz" else rest[1:-6]
        if not 0 < len(digits) <= 9:
            raise ValueError(f"a fraction of 1 to 9 digits is expected: {text[:40]!r}")
        fraction = int(digits) * 10 ** (9 - len(digits))
        rest = rest[1 + len(digits) :]
    return _day_ns(text[:10]) + (seconds - _offset_s(rest)) * 1_000_000_000 + fraction


def _offset_s(zone: str) -> int:
    if zone in ("Z", "z"):
        return 0
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":":
        raise ValueError(f"not a time zone: {zone[:10]!r}")
    seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return -seconds if zone[0] == "-" else seconds


@lru_cache(maxsize=4_096)
def conditions_of(codes: tuple[str, ...], tape: str, recorded: bool) -> int:
    """Give the ``Condition`` bits of a trade's sale conditions (without its origin)."""
    found = frozenset(codes)
    bits = Condition.NONE
    if "T" in found or "U" in found:
        bits |= Condition.EXTENDED_HOURS
    if recorded:
        not_last = bool(found & _RECORDED_NOT_LAST) and "T" not in found
    else:
        not_last = bool(found & (_UTP_NOT_LAST if tape == "C" else _CTA_NOT_LAST))
    return int(bits | Condition.NOT_LAST if not_last else bits)


def origin_bits(origin: str) -> int:
    """Give the ``Condition`` bit of an origin: "live", "recorded" or "synthetic".

    What says nothing known is taken as synthetic: it must never pass for live.
    """
    if origin == "live":
        return int(Condition.NONE)
    return int(Condition.RECORDED if origin == "recorded" else Condition.SYNTHETIC)


def held_by(status: str) -> bool | None:
    """Say whether a status code halts a symbol (True), lets it trade (False), or neither."""
    if status in _HALTING:
        return True
    return False if status in _RESUMING else None
