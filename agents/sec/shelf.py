"""What the agent keeps between runs: headers that it read, and the newest table of tickers.

It only saves requests. The file is written beside its place and moved into it; one that is damaged
or of another upstream counts as absent, and what it held is read again.
"""

import contextlib
import hashlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from relentless.agents.edgar.entries import FilingEntry

KEPT_DAYS: Final = 30
"""Headers of older filings are dropped."""


@dataclass(slots=True)
class Kept:
    """The file's content."""

    ciks: dict[str, int] = field(default_factory=dict)
    """The table of tickers, a company's primary one first."""
    headers: dict[str, FilingEntry] = field(default_factory=dict)
    """Filings whose header was read, by accession."""
    format: int = 1


_KEPT: TypeAdapter[Kept] = TypeAdapter(Kept)


class Shelf:
    """The file of one upstream in the agent's state folder."""

    def __init__(self, state: Path, upstream: str) -> None:
        """Name the file; ``upstream`` is whatever tells one upstream from another."""
        digest = hashlib.sha256(upstream.encode()).hexdigest()[:12]
        self._path = state / f"edgar-{digest}.json"

    def read(self) -> Kept:
        """Give what is kept, or nothing."""
        with contextlib.suppress(OSError, ValidationError):
            kept = _KEPT.validate_json(self._path.read_bytes())
            if kept.format == Kept().format:
                return kept
        return Kept()

    def write(self, kept: Kept, today: date) -> None:
        """Keep it, without the headers of old filings."""
        first = today - timedelta(days=KEPT_DAYS)
        kept.headers = {n: entry for n, entry in kept.headers.items() if entry.filed >= first}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".tmp")
        beside.write_bytes(_KEPT.dump_json(kept))
        beside.replace(self._path)
