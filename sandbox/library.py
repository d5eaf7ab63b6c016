"""What the sandbox can serve: series of observations and bills with dated stages.

The shipped day (``days.py``), a folder of recordings (``recorded.py``) and the generator
(``generated.py``) all end as a :class:`Library`, so that one code path serves them. Nothing here
knows the time: ``fred.py`` and ``congress.py`` decide what is known by then.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Final, Protocol

from relentless.configs.releases import ReleaseTable
from relentless.proto.contexts import Origin

LAW_CAPABLE: Final = ("hr", "s", "hjres", "sjres")
"""The types of measure that can become law."""

MISSING: Final = "."
"""How FRED writes a value that does not exist."""


@dataclass(frozen=True)
class Series:
    """One series: parallel tuples by observation, oldest first."""

    series_id: str
    origin: Origin
    days: tuple[date, ...]
    values: tuple[str, ...]
    known_at: tuple[datetime, ...]
    """When FRED could serve each; never runs backwards."""
    note: str = ""
    revisions: Mapping[int, tuple[tuple[datetime, str], ...]] = field(default_factory=dict)
    """By the observation's place: the later values, oldest first, each with its own known_at."""

    @classmethod
    def of(
        cls,
        series_id: str,
        origin: Origin,
        rows: dict[date, str],
        releases: ReleaseTable,
        note: str = "",
        revisions: Mapping[date, Mapping[date, str]] | None = None,
    ) -> "Series":
        """Sort observations and stamp each with its release time.

        ``revisions`` holds, by observation, the values that later days brought.
        """
        days = tuple(sorted(rows))
        known_at = tuple(releases.known_at(series_id, day) for day in days)
        if any(after < before for before, after in pairwise(known_at)):
            raise ValueError(f"the release times of {series_id} run backwards")
        places = {day: at for at, day in enumerate(days)}
        return cls(
            series_id=series_id,
            origin=origin,
            days=days,
            values=tuple(rows[day] for day in days),
            known_at=known_at,
            note=note,
            revisions={
                places[day]: tuple(
                    (releases.known_at(series_id, day, vintage), later[vintage])
                    for vintage in sorted(later)
                )
                for day, later in (revisions or {}).items()
            },
        )

    def known(self, moment: datetime) -> int:
        """Give how many observations, from the oldest on, are known at a moment."""
        return bisect_right(self.known_at, moment)

    def versions(self, at: int) -> tuple[tuple[datetime, str], ...]:
        """Give the values that one observation ever had, oldest first, with their known_at."""
        return ((self.known_at[at], self.values[at]), *self.revisions.get(at, ()))

    def moments(self) -> Iterator[datetime]:
        """Give every time at which something of the series became known."""
        yield from self.known_at
        for later in self.revisions.values():
            yield from (moment for moment, _ in later)


@dataclass(frozen=True, slots=True)
class Stage:
    """One dated step of a bill.

    ``step`` is the code of a text version ("ih", "eh", "enr") or one of ``passed_house``,
    ``passed_senate``, ``presented``, ``signed``, ``vetoed``.
    """

    day: date
    step: str


_SAME_DAY: Final = (
    *("ih", "is", "rh", "rs", "pcs", "fph", "passed_house", "eh", "rds", "rfs", "cps"),
    *("passed_senate", "es", "rfh", "eas", "eah", "presented", "vetoed", "signed"),
)
"""The order in which steps of one day are taken to have happened."""


def stage_order(stage: Stage) -> tuple[date, int, str]:
    """Give the sort key that puts a bill's steps in order."""
    rank = _SAME_DAY.index(stage.step) if stage.step in _SAME_DAY else len(_SAME_DAY)
    return (stage.day, rank, stage.step)


@dataclass(frozen=True)
class Bill:
    """One measure: what its first text says, and its dated steps."""

    congress: int
    kind: str
    """"hr", "s", "hjres", "sjres", and the types that cannot become law."""
    number: int
    title: str
    """The official title of the first text."""
    sponsor: str
    """Bioguide id; "" where unknown."""
    party: str
    state: str
    committees: tuple[str, ...]
    """"House - Budget Committee", by today's names."""
    cosponsors: tuple[int, int, int]
    """Democrats, Republicans and others on the first text."""
    first_day: date
    """The day of the first text."""
    stages: tuple[Stage, ...]
    """Oldest first."""
    law: str = ""
    """"113-46", to be shown only once the signing is known."""

    @property
    def key(self) -> tuple[int, str, int]:
        """Congress, type and number."""
        return (self.congress, self.kind, self.number)


class Library(Protocol):
    """A source of facts for the sandbox."""

    @property
    def origin(self) -> Origin:
        """Recorded or synthetic, of the bills and of what names nothing else."""
        ...

    @property
    def bills_note(self) -> str:
        """A caveat about the bills, sent with them."""
        ...

    def series(self, series_id: str) -> Series | None:
        """Give a series, or None where there is none."""
        ...

    def bills(self, day: date) -> tuple[Bill, ...]:
        """Give every bill whose first text is dated up to ``day``; later ones may be among them."""
        ...
