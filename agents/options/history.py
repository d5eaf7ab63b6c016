"""What the agent keeps of sessions that are over: volumes, skew, and the baskets' bars.

One file an underlying and upstream, replaced as a whole, at most ``KEPT`` sessions long. A file
that does not parse counts as absent. A run compares only sessions before its own.
"""

import contextlib
import hashlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from relentless.agents.options.measures import Sides

KEPT: Final = 60
FORMAT: Final = 1


@dataclass(slots=True)
class Session:
    """The final numbers of one session."""

    calls: float
    puts: float
    skew: float | None


@dataclass(slots=True)
class Basket:
    """Earlier volumes of the contracts that stand for one session."""

    symbols: tuple[str, ...]
    volumes: dict[date, tuple[float, float]]


@dataclass(slots=True)
class Kept:
    """All that is kept of one underlying."""

    sessions: dict[date, Session] = field(default_factory=dict)
    baskets: dict[date, Basket] = field(default_factory=dict)
    format: int = FORMAT

    def before(self, day: date) -> dict[date, Session]:
        """Give the sessions before a day, in order."""
        return {at: self.sessions[at] for at in sorted(self.sessions) if at < day}

    def volumes_before(self, day: date) -> dict[date, Sides]:
        """Give their volumes."""
        return {at: Sides(s.calls, s.puts) for at, s in self.before(day).items()}


_KEPT = TypeAdapter(Kept)


class History:
    """The file of one underlying from one upstream."""

    def __init__(self, state: Path, symbol: str, upstream: str) -> None:
        """Name the file; ``upstream`` is whatever tells one vendor and address from another."""
        digest = hashlib.sha256(upstream.encode()).hexdigest()[:12]
        self._path = state / digest / f"{symbol}.json"

    def read(self) -> Kept:
        """Give what is kept."""
        with contextlib.suppress(OSError, ValidationError):
            kept = _KEPT.validate_json(self._path.read_bytes())
            if kept.format == FORMAT:
                return kept
        return Kept()

    def write(self, kept: Kept) -> None:
        """Keep the newest ``KEPT`` sessions and two baskets.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        kept.sessions = {day: kept.sessions[day] for day in sorted(kept.sessions)[-KEPT:]}
        kept.baskets = {day: kept.baskets[day] for day in sorted(kept.baskets)[-2:]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".tmp")
        beside.write_bytes(_KEPT.dump_json(kept))
        beside.replace(self._path)
