"""Which dates of each release the agent has seen in the calendar, and when it last saw each.

FRED's calendar has no history: a release that moves is a date that is gone and another that is
new. One small file for each upstream, written beside its place and moved into it. A file that is
damaged counts as absent: then nothing is known to have moved, and what was said before expires.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

KEPT_DAYS = 60
"""How long a date is remembered after it has passed."""


@dataclass(slots=True)
class Seen:
    """When a date stood in the calendar, by the moments of the runs that read it."""

    first: datetime
    last: datetime


@dataclass(slots=True)
class Remembered:
    """The dates of every release."""

    releases: dict[int, dict[date, Seen]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A date that the calendar had and no longer has."""

    release_id: int
    day: date
    moved_to: date | None


_ADAPTER = TypeAdapter(Remembered)


class Memory:
    """The file of one upstream, under the agent's state folder."""

    def __init__(self, state: Path, upstream: str) -> None:
        """Read it; ``upstream`` is whatever tells one upstream from another."""
        digest = hashlib.sha256(upstream.encode()).hexdigest()[:12]
        self._path = state / f"dates-{digest}.json"
        self._seen = Remembered()
        with contextlib.suppress(OSError, ValidationError):
            self._seen = _ADAPTER.validate_json(self._path.read_bytes())

    def withdrawn(
        self, listed: Mapping[int, frozenset[date]], *, as_of: datetime, first: date, ahead: int
    ) -> tuple[Withdrawn, ...]:
        """Give the dates seen before ``as_of``, from ``first`` on, that are not listed any more.

        ``moved_to`` is stated where just one date of the release went and just one came that the
        calendar did not have when the old one was last seen, ``ahead`` days being read each time.
        """
        gone: list[Withdrawn] = []
        for number, days in sorted(self._seen.releases.items()):
            now = listed.get(number, frozenset())
            lost = [
                day
                for day, seen in sorted(days.items())
                if day >= first and day not in now and seen.first < as_of
            ]
            for day in lost:
                last = min(days[day].last, as_of)
                came = [
                    new
                    for new in now
                    if (new not in days or days[new].first > last)
                    and first <= new <= last.date() + timedelta(days=ahead)
                ]
                moved = came[0] if len(lost) == len(came) == 1 else None
                gone.append(Withdrawn(number, day, moved))
        return tuple(gone)

    def keep(self, listed: Mapping[int, Iterable[date]], as_of: datetime) -> None:
        """Remember what is listed now, and forget what passed long ago."""
        for number, days in listed.items():
            known = self._seen.releases.setdefault(number, {})
            for day in days:
                seen = known.setdefault(day, Seen(as_of, as_of))
                seen.first, seen.last = min(seen.first, as_of), max(seen.last, as_of)
        oldest = as_of.date() - timedelta(days=KEPT_DAYS)
        for number, known in self._seen.releases.items():
            self._seen.releases[number] = {day: s for day, s in known.items() if day >= oldest}
        beside = self._path.with_suffix(".tmp")
        beside.write_bytes(_ADAPTER.dump_json(self._seen))
        beside.replace(self._path)
