"""FRED's ``releases/dates`` as dates by release, or a typed error. Pure.

A page states the count of the whole list; pages that do not join to exactly that list, or that
repeat a row, are not used.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from relentless.proto.errors import SourceMalformed

SOURCE = "fred"
_DAY = timedelta(days=1)


class Listed(NamedTuple):
    """One row of the calendar."""

    release_id: int
    day: date


class Page(NamedTuple):
    """One page of the list."""

    rows: tuple[Listed, ...]
    total: int


def read_page(body: Any, *, offset: int) -> Page:
    """Read one page.

    Raises:
        SourceMalformed: the body breaks the contract.
    """
    items = body.get("release_dates") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise SourceMalformed(SOURCE, "releases/dates: no list of dates")
    count, stated = body.get("count"), body.get("offset")
    if type(count) is not int or stated != offset or count < offset + len(items):
        raise SourceMalformed(
            SOURCE, f"releases/dates: {len(items)} of {count} from {stated}, not {offset}"[:160]
        )
    return Page(tuple(_listed(item) for item in items), count)


def join(pages: Sequence[Page]) -> tuple[Listed, ...]:
    """Join the pages of one list.

    Raises:
        SourceMalformed: rows are missing or repeated: the list moved while it was read.
    """
    rows = [row for page in pages for row in page.rows]
    counts = {page.total for page in pages}
    if counts != {len(rows)} or len(set(rows)) != len(rows):
        raise SourceMalformed(
            SOURCE,
            f"releases/dates: {len(rows)} rows, {len(set(rows))} different, of {sorted(counts)}",
        )
    return tuple(rows)


def by_release(rows: Iterable[Listed]) -> dict[int, frozenset[date]]:
    """Give each release's dates."""
    found: dict[int, set[date]] = {}
    for row in rows:
        found.setdefault(row.release_id, set()).add(row.day)
    return {number: frozenset(days) for number, days in found.items()}


def standing_alone(days: frozenset[date]) -> frozenset[date]:
    """Give the dates without a neighbour: of a release listed on every day, those that mean one."""
    return frozenset(day for day in days if not {day - _DAY, day + _DAY} & days)


def _listed(item: Any) -> Listed:
    try:
        number, day = item["release_id"], date.fromisoformat(item["date"])
    except (TypeError, KeyError, ValueError) as error:
        raise SourceMalformed(SOURCE, f"releases/dates: no date ({error})"[:160]) from None
    if type(number) is not int:
        raise SourceMalformed(SOURCE, f"releases/dates: no release ({str(number)[:40]})")
    return Listed(number, day)
