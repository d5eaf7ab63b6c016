"""What one run of the sandbox stands on: the library, the release table and the clock."""

from dataclasses import dataclass
from datetime import date, datetime

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

    def now(self) -> datetime:
        """Give the market time, in UTC."""
        return self.clock.now()

    def today(self) -> date:
        """Give the market's date, in New York."""
        return self.clock.now().astimezone(EASTERN).date()
