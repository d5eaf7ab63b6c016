"""What became of a recorded bill: whether it is law, and how far it had come by a day. Pure.

For fitting and scoring alone: the columns that are read here are known only later.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date

from relentless.models.passage import Introduced, begins, share_left

_VERSION = re.compile(r"\((\w+)\)@(\d{4}-\d\d-\d\d)$")
_DAY = re.compile(r"^\d{4}-\d\d-\d\d$")
_STEPS = {
    **dict.fromkeys(("rh", "rs", "pcs"), "reported"),
    **dict.fromkeys(("eh", "rfs", "rds"), "passed_house"),
    **dict.fromkeys(("es", "rfh"), "passed_senate"),
}
_COLUMNS = ("passed_house", "passed_senate", "presented")


def became_law(row: Mapping[str, str]) -> bool:
    """Tell whether a recorded bill became law."""
    return bool(row["signed_date"] or row["became_law_date"])


def stages_of(bill: Introduced, row: Mapping[str, str]) -> list[tuple[str, float]]:
    """Give (stage, share of the Congress left) on the first of each month while it was pending.

    A step counts from the day after it. A bill counts until it is law or vetoed, at most to the
    end of its Congress.
    """
    ended = [row[name] for name in ("signed_date", "became_law_date", "vetoed_date") if row[name]]
    end = min([*ended, begins(bill.congress + 1).isoformat()])
    steps = [(row[f"{name}_date"], name) for name in _COLUMNS if _DAY.match(row[f"{name}_date"])]
    versions = [_VERSION.search(entry) for entry in row["versions"].split("|")]
    steps += [(v[2], _STEPS[v[1]]) for v in versions if v and v[1] in _STEPS]
    told = []
    for day in _months(bill.day):
        if day.isoformat() > end:
            break
        done = {step for when, step in steps if when < day.isoformat()}
        told.append((_furthest(done), share_left(bill.congress, day)))
    return told


def _furthest(done: set[str]) -> str:
    if "presented" in done:
        return "presented"
    if {"passed_house", "passed_senate"} <= done:
        return "passed_both"
    order = ("passed_senate", "passed_house", "reported")
    return next((stage for stage in order if stage in done), "introduced")


def _months(after: date) -> Iterator[date]:
    number = after.year * 12 + after.month
    while True:
        yield date(number // 12, number % 12 + 1, 1)
        number += 1
