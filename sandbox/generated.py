"""Today, invented: what a live run gets from a source that has no key.

Eighteen series and a few hundred bills drawn from seeds, as of any date, shaped like the real ones
so that everything downstream works. All of it is labelled synthetic: live trading refuses it.
Every series begins at a fixed day, so that tomorrow's history contains today's.
"""

import random
from datetime import date, timedelta
from functools import cached_property
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.configs.releases import SERIES, ReleaseTable
from relentless.proto.contexts import Origin
from relentless.sandbox.invented import Process, invent, walk
from relentless.sandbox.library import LAW_CAPABLE, Bill, Series, Stage, stage_order

NOTE: Final = "invented for a source without a key"
FIRST: Final = date(2020, 1, 1)
BILLS: Final = 300

_RATES: Final = {
    "DGS3MO": Process(level=4.1, pull=0.01, noise=0.006),
    "DGS1": Process(level=4.0, pull=0.01, noise=0.008),
    "DGS2": Process(level=3.8, pull=0.01, noise=0.010),
    "DGS10": Process(level=4.2, pull=0.01, noise=0.010),
    "DGS30": Process(level=4.7, pull=0.01, noise=0.009),
    "T5YIE": Process(level=2.3, pull=0.02, noise=0.008),
    "T10YIE": Process(level=2.3, pull=0.02, noise=0.007),
    "DTWEXBGS": Process(level=120.0, pull=0.01, noise=0.003),
    "VIXCLS": Process(level=18.0, pull=0.05, noise=0.06),
    "BAMLH0A0HYM2": Process(level=3.5, pull=0.02, noise=0.015),
    "BAMLC0A0CM": Process(level=1.0, pull=0.02, noise=0.012),
}
_SPREADS: Final = {"T10Y2Y": ("DGS10", "DGS2"), "T10Y3M": ("DGS10", "DGS3MO")}
_STEADY: Final = {"DFF": "4.08", "DFEDTARU": "4.25", "DFEDTARL": "4.00"}
_MONTHLY: Final = {
    "UNRATE": (Process(level=4.2, pull=0.05, noise=0.02), 0.0, 1),
    "CPIAUCSL": (Process(level=258.0, pull=0.2, noise=0.0008), 0.0025, 3),
    "CPILFESL": (Process(level=266.0, pull=0.2, noise=0.0005), 0.0026, 3),
}
"""Process, growth a month, decimals."""

_REVISED_MONTHS: Final = 24
"""How many months before it an annual revision touches."""
_REVISED: Final = {"UNRATE": 0.1, "CPIAUCSL": 0.15, "CPILFESL": 0.15}
"""The largest step of an invented revision, in the series' units."""

_SUBJECTS: Final = (
    ("tax credits for small businesses", "Ways and Means", "Finance"),
    ("bank capital requirements", "Financial Services", "Banking, Housing, and Urban Affairs"),
    ("defense procurement", "Armed Services", "Armed Services"),
    ("highway and bridge infrastructure", "Transportation and Infrastructure", "Commerce"),
    ("health insurance premiums", "Energy and Commerce", "Finance"),
    ("offshore energy leasing", "Natural Resources", "Energy and Natural Resources"),
    ("tariff and trade agreements", "Ways and Means", "Finance"),
    ("the regulation of consumer products", "Energy and Commerce", "Commerce"),
    ("the naming of a post office", "Oversight", "Homeland Security and Governmental Affairs"),
)
_VERBS: Final = ("expand", "limit", "study", "reform", "repeal rules on", "extend")


class GeneratedLibrary:
    """An invented present, up to a last day."""

    origin = Origin.SYNTHETIC
    bills_note = NOTE

    def __init__(self, last: date, seed: int, releases: ReleaseTable) -> None:
        self._last = last
        self._seed = seed
        self._releases = releases
        self._read: dict[str, Series] = {}

    def series(self, series_id: str) -> Series | None:
        """Give a series; None where it is not one of the eighteen."""
        if series_id not in SERIES:
            return None
        if series_id not in self._read:
            rows = self._rows(series_id)
            self._read[series_id] = Series.of(
                series_id,
                Origin.SYNTHETIC,
                rows,
                self._releases,
                NOTE,
                self._revisions(series_id, rows),
            )
        return self._read[series_id]

    def bills(self, day: date) -> tuple[Bill, ...]:
        """Give the invented bills of the Congress that sits on the last day."""
        return self._bills

    def _rows(self, series_id: str) -> dict[date, str]:
        if series_id in _STEADY:
            days = (FIRST + timedelta(days=n) for n in range((self._last - FIRST).days + 1))
            return dict.fromkeys(days, _STEADY[series_id])
        if series_id in _MONTHLY:
            return self._months(series_id)
        if series_id in _SPREADS:
            long, short = (self._daily(name) for name in _SPREADS[series_id])
            return {
                day: value if value == "." else f"{float(value) - float(short[day]):.2f}"
                for day, value in long.items()
            }
        return self._daily(series_id)

    def _daily(self, series_id: str) -> dict[date, str]:
        return invent(series_id, FIRST, self._last, self._seed, _RATES[series_id])

    def _months(self, series_id: str) -> dict[date, str]:
        process, growth, decimals = _MONTHLY[series_id]
        steps = walk(process, random.Random(f"{self._seed}:{series_id}"))  # noqa: S311
        rows = {}
        months = range((self._last.year - FIRST.year) * 12 + self._last.month)
        for month, value in zip(months, steps, strict=False):
            day = date(FIRST.year + month // 12, month % 12 + 1, 1)
            rows[day] = f"{value * (1 + growth) ** month:.{decimals}f}"
        return rows

    def _revisions(
        self, series_id: str, rows: dict[date, str]
    ) -> dict[date, dict[date, str]] | None:
        """Invent the yearly revision of the seasonal factors, which comes with January's report.

        Each of the months before it moves by at most a step; half of them do not move.
        """
        if series_id not in _REVISED:
            return None
        step, decimals = _REVISED[series_id], _MONTHLY[series_id][2]
        revisions: dict[date, dict[date, str]] = {}
        for january in (day for day in rows if day.month == 1):
            vintage = self._releases.known_at(series_id, january).astimezone(EASTERN).date()
            if vintage > self._last:
                continue
            months = sorted(day for day in rows if day < january)[-_REVISED_MONTHS:]
            for day in months:
                draw = random.Random(f"{self._seed}:{series_id}:{day}:{vintage}")  # noqa: S311
                if draw.random() < 0.5:
                    value = float(rows[day]) + draw.choice((-step, step))
                    revisions.setdefault(day, {})[vintage] = f"{value:.{decimals}f}"
        return revisions

    @cached_property
    def _bills(self) -> tuple[Bill, ...]:
        congress = (self._last.year - 1789) // 2 + 1
        opened = date(1789 + 2 * (congress - 1), 1, 3)
        return tuple(_bill(congress, number, opened, self._seed) for number in range(1, BILLS + 1))


def _bill(congress: int, number: int, opened: date, seed: int) -> Bill:
    draw = random.Random(f"{seed}:bill:{congress}:{number}")  # noqa: S311
    kind = draw.choices(LAW_CAPABLE, (60, 30, 6, 4))[0]
    subject, house, senate = draw.choice(_SUBJECTS)
    in_house = kind.startswith("h")
    committee = f"House - {house} Committee" if in_house else f"Senate - {senate} Committee"
    introduced = opened + timedelta(days=draw.randrange(700))
    stages = [Stage(introduced, "ih" if in_house else "is")]
    steps = ("rh", "passed_house") if in_house else ("rs", "passed_senate")
    for step, chance in zip(steps, (0.15, 0.5), strict=True):
        if draw.random() >= chance:
            break
        stages.append(Stage(stages[-1].day + timedelta(days=10 + draw.randrange(120)), step))
    return Bill(
        congress=congress,
        kind=kind,
        number=number,
        title=f"To {draw.choice(_VERBS)} {subject} (an invented bill).",
        sponsor=f"X{number:06d}",
        party=draw.choice("DR"),
        state=draw.choice(("CA", "NY", "TX", "OH", "WA")),
        committees=(committee,),
        cosponsors=(int(draw.expovariate(0.2)), int(draw.expovariate(0.2)), 0),
        first_day=introduced,
        stages=tuple(sorted(stages, key=stage_order)),
    )
