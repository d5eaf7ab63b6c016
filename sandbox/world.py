"""What one run of the sandbox stands on: the library, the release table and the clock."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from relentless.configs.clock import EASTERN, Clock
from relentless.configs.releases import ReleaseTable
from relentless.sandbox.library import Library

ORIGIN_HEADER = "X-Relentless-Origin"
"""Says whether what was served is recorded or synthetic. No real service sends it."""
NOTE_HEADER = "X-Relentless-Note"
"""Says a caveat: "vintage: recorded later"."""


@dataclass(frozen=True)
class World:
    """Shared by the HTTP services and the stream."""

    library: Library
    releases: ReleaseTable
    clock: Clock
    seed: int = 0
    """Of everything that is invented."""
    symbols: tuple[str, ...] = ()
    """The run's symbols: what is invented is invented for them."""
    recordings: Path | None = None
    """The folder of recorded data, where the run has one."""

    def now(self) -> datetime:
        """Give the market time, in UTC."""
        return self.clock.now()

    def today(self) -> date:
        """Give the market's date, in New York."""
        return self.clock.now().astimezone(EASTERN).date()
