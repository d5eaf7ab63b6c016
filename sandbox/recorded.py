"""A folder of recordings as a library: FRED's CSV files and the bills of each Congress.

The files hold everything up to today; what a request may see of it is decided elsewhere, by
release time and by the dates of a bill's stages. Columns that give the future away (the final
title, the last version, the last action, the number of versions) are never read.
"""

import csv
import gzip
import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

from relentless.configs.releases import SERIES, ReleaseTable
from relentless.proto.contexts import Origin
from relentless.sandbox.facts import TARGET_RANGE, TARGET_RANGE_UNTIL, target_range
from relentless.sandbox.library import MISSING, Bill, Series, Stage, stage_order

FRED_NOTE: Final = "vintage: recorded later"
BILLS_NOTE: Final = "reconstructed from dated stages; committees by today's names"

_EXTRA_FILES: Final = {
    "DFEDTARU": ("DFEDTARU.csv", "DFEDTARU_2021_2026-08.csv"),
    "DFEDTARL": ("DFEDTARL.csv", "DFEDTARL_2021_2026-08.csv"),
}
_DECIMALS: Final = {"DTWEXBGS": 4, "UNRATE": 1, "CPIAUCSL": 3, "CPILFESL": 3}
_DATE: Final = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_VERSION: Final = re.compile(r"^(?P<name>.*?)(?: \((?P<code>[a-z]+)\))?@(?P<day>.*)$")
_NAMED_CODES: Final = {
    "Engrossed Amendment House": "eah",
    "Engrossed Amendment Senate": "eas",
    "Engrossed in House": "eh",
    "Engrossed in Senate": "es",
    "Referred in Senate": "rfs",
    "Referred in House": "rfh",
}
_MILESTONES: Final = {
    "passed_house_date": "passed_house",
    "passed_senate_date": "passed_senate",
    "presented_date": "presented",
    "signed_date": "signed",
    "vetoed_date": "vetoed",
}


class RecordedLibrary:
    """The recordings, each file read when it is first asked for."""

    origin = Origin.RECORDED
    bills_note = BILLS_NOTE

    def __init__(self, folder: Path, releases: ReleaseTable) -> None:
        self._folder = folder
        self._releases = releases
        self._series: dict[str, Series] = {}
        self._congresses: dict[int, tuple[Bill, ...]] = {}

    def series(self, series_id: str) -> Series | None:
        """Give a series; None where it is not one of the eighteen."""
        if series_id not in SERIES:
            return None
        if series_id not in self._series:
            rows = read_series(self._folder, series_id)
            self._series[series_id] = Series.of(
                series_id, Origin.RECORDED, rows, self._releases, FRED_NOTE
            )
        return self._series[series_id]

    def bills(self, day: date) -> tuple[Bill, ...]:
        """Give the bills of every recorded Congress that had begun by ``day``."""
        found: list[Bill] = []
        for congress, path in self._bill_files.items():
            if date(1789 + 2 * (congress - 1), 1, 1) <= day:
                if congress not in self._congresses:
                    self._congresses[congress] = tuple(read_bills(path))
                found.extend(self._congresses[congress])
        return tuple(found)

    @cached_property
    def _bill_files(self) -> dict[int, Path]:
        paths = (self._folder / "congress").glob("bills_[0-9]*.csv.gz")
        return {int(path.name[6:].split(".")[0]): path for path in sorted(paths)}


def read_series(folder: Path, series_id: str) -> dict[date, str]:
    """Read one series' values as FRED writes them, "." where there is none."""
    rows: dict[date, str] = {}
    if series_id in _EXTRA_FILES:
        rows |= target_range(series_id, TARGET_RANGE[0][0], TARGET_RANGE_UNTIL)
    for name in _EXTRA_FILES.get(series_id, (f"{series_id}.csv",)):
        with (folder / "fred" / "csv" / name).open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            next(lines)
            for day, value in lines:
                rows[date.fromisoformat(day)] = fred_value(series_id, value)
    return rows


def fred_value(series_id: str, text: str) -> str:
    """Write a number with the decimals that FRED gives the series; never fewer than it had."""
    if text in ("", MISSING):
        return MISSING
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(_DECIMALS.get(series_id, 2), '0')}"


def read_bills(path: Path) -> Iterator[Bill]:
    """Read one Congress's bills."""
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if _DATE.match(row["first_date"]):
                yield _bill(row)


def _bill(row: dict[str, str]) -> Bill:
    others = int(row["cosponsors_first"] or 0)
    democrats, republicans = int(row["cosp_D_first"] or 0), int(row["cosp_R_first"] or 0)
    return Bill(
        congress=int(row["congress"]),
        kind=row["type"],
        number=int(row["number"]),
        title=row["official_title_first_version"],
        sponsor=row["sponsor_bioguide"],
        party=row["sponsor_party"],
        state=row["sponsor_state"],
        committees=tuple(
            name.replace("\u2014", "-") for name in row["committees_first"].split("|") if name
        ),
        cosponsors=(democrats, republicans, max(others - democrats - republicans, 0)),
        first_day=date.fromisoformat(row["first_date"]),
        stages=tuple(sorted(_stages(row), key=stage_order)),
        law=row["public_law"],
    )


def _stages(row: dict[str, str]) -> Iterable[Stage]:
    """Give a row's dated steps; "enr@not" and its like have no date and are left out."""
    found: set[Stage] = set()
    for entry in row["versions"].split("|"):
        match = _VERSION.match(entry)
        if match and _DATE.match(match["day"]):
            step = match["code"] or _NAMED_CODES.get(match["name"], "")
            found.add(Stage(date.fromisoformat(match["day"]), step or "text"))
    for column, step in _MILESTONES.items():
        if _DATE.match(row[column]):
            found.add(Stage(date.fromisoformat(row[column]), step))
    return found
