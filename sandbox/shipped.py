"""The format of a shipped day: how it is written, and how it is read back as a library.

A day is a folder ``days/<date>/``: ``fred.json`` (values by series and month), ``bills.csv.gz``,
``manifest.json`` (counts and SHA-256 of the contents) and a README. It holds nothing that became
known after the day. ``build_day.py`` makes it from recordings.
"""

import calendar
import csv
import gzip
import io
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

from relentless.configs.releases import ReleaseTable
from relentless.proto.contexts import Origin
from relentless.proto.errors import InvalidSettings
from relentless.sandbox.library import Bill, Series, Stage
from relentless.sandbox.recorded import BILLS_NOTE

DAYS: Final = Path(__file__).with_name("days")

Calendar = Literal["daily", "weekdays", "monthly"]
_ABSENT: Final = "-"
_COLUMNS: Final = (
    "congress", "type", "number", "first_day", "sponsor", "party", "state",
    "cosponsors", "committees", "stages", "law", "title",
)  # fmt: skip


class ShippedDay:
    """One shipped day, read from its folder."""

    origin = Origin.RECORDED
    bills_note = BILLS_NOTE

    def __init__(self, folder: Path, releases: ReleaseTable) -> None:
        self._folder = folder
        self._releases = releases
        self._read: dict[str, Series] = {}

    @classmethod
    def load(cls, day: str, releases: ReleaseTable) -> Self:
        """Open a shipped day by its date.

        Raises:
            InvalidSettings: no such day is shipped.
        """
        folder = DAYS / day
        if not (folder / "manifest.json").exists():
            shipped = sorted(path.name for path in DAYS.iterdir() if path.is_dir())
            raise InvalidSettings(f"no day {day} is shipped; choose one of {', '.join(shipped)}")
        return cls(folder, releases)

    def series(self, series_id: str) -> Series | None:
        """Give a series; None where the day holds none of that name."""
        packed = self._fred.get(series_id)
        if packed is None:
            return None
        if series_id not in self._read:
            self._read[series_id] = Series.of(
                series_id,
                Origin(packed["origin"]),
                unpack_rows(packed),
                self._releases,
                packed["note"],
            )
        return self._read[series_id]

    def bills(self, day: date) -> tuple[Bill, ...]:
        """Give every bill of the day; all of them were known by then."""
        return self._bills

    @cached_property
    def _fred(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((self._folder / "fred.json").read_bytes())["series"]
        return body

    @cached_property
    def _bills(self) -> tuple[Bill, ...]:
        raw = gzip.decompress((self._folder / "bills.csv.gz").read_bytes())
        return read_bills(raw.decode())


def pack_rows(rows: dict[date, str], layout: Calendar) -> dict[str, str]:
    """Put values into one line a month, in the order of the layout's days."""
    lines: dict[str, list[str]] = defaultdict(list)
    days = sorted(rows)
    for month in _months(days[0], days[-1]):
        for day in _layout_days(month, layout):
            if days[0].replace(day=1) <= day <= days[-1]:
                lines[f"{day:%Y-%m}"].append(rows.get(day, _ABSENT))
    return {month: " ".join(values) for month, values in lines.items()}


def unpack_rows(packed: dict[str, Any]) -> dict[date, str]:
    """Read what :func:`pack_rows` wrote."""
    rows: dict[date, str] = {}
    for month, line in packed["values"].items():
        days = _layout_days(date.fromisoformat(f"{month}-01"), packed["calendar"])
        rows |= {
            day: text for day, text in zip(days, line.split(), strict=False) if text != _ABSENT
        }
    return rows


def _months(first: date, last: date) -> Iterable[date]:
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield date(number // 12, number % 12 + 1, 1)


def _layout_days(month: date, layout: Calendar) -> list[date]:
    if layout == "monthly":
        return [month]
    length = calendar.monthrange(month.year, month.month)[1]
    days = [month.replace(day=number) for number in range(1, length + 1)]
    return days if layout == "daily" else [day for day in days if day.weekday() < 5]


def write_bills(bills: Iterable[Bill]) -> str:
    """Write bills as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for bill in bills:
        writer.writerow(
            (
                bill.congress,
                bill.kind,
                bill.number,
                bill.first_day,
                bill.sponsor,
                bill.party,
                bill.state,
                " ".join(map(str, bill.cosponsors)),
                "|".join(bill.committees),
                "|".join(f"{stage.step}@{stage.day}" for stage in bill.stages),
                bill.law,
                bill.title,
            )
        )
    return text.getvalue()


def read_bills(text: str) -> tuple[Bill, ...]:
    """Read what :func:`write_bills` wrote."""
    return tuple(_bill(row) for row in csv.DictReader(io.StringIO(text)))


def _bill(row: dict[str, str]) -> Bill:
    democrats, republicans, others = (int(part) for part in row["cosponsors"].split())
    return Bill(
        congress=int(row["congress"]),
        kind=row["type"],
        number=int(row["number"]),
        title=row["title"],
        sponsor=row["sponsor"],
        party=row["party"],
        state=row["state"],
        committees=tuple(row["committees"].split("|")) if row["committees"] else (),
        cosponsors=(democrats, republicans, others),
        first_day=date.fromisoformat(row["first_day"]),
        stages=tuple(_stage(part) for part in row["stages"].split("|") if part),
        law=row["law"],
    )


def _stage(text: str) -> Stage:
    step, _, day = text.partition("@")
    return Stage(date.fromisoformat(day), step)
