"""How far a bill has come, from the words of its actions. Pure.

An action's words say at least how far the bill had come by then: a House bill that was received in
the Senate has passed the House. The furthest of them is the bill's stage. Words by the Library of
Congress's action list; where none fits, a bill counts as introduced, never as more.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Stage


@dataclass(frozen=True, slots=True)
class Action:
    """One dated line of a bill's history; ``code`` is the Library of Congress's, where given."""

    day: date
    text: str
    code: str = ""


def known_at(day: date) -> datetime:
    """Give the time from which an action may count as known: the end of its day, Eastern, in UTC.

    An action has a date without a time and is served the next morning or later, so the start of
    its day would be look-ahead.
    """
    return datetime.combine(day + timedelta(days=1), time(), EASTERN).astimezone(UTC)


_CODES = {"8000": "house", "17000": "senate", "9000": "failed", "18000": "failed"}
_CODES |= {"28000": "presented", "E20000": "presented", "31000": "vetoed", "36000": "law"}
_CODES |= {"E30000": "law", "E40000": "law", "5000": "reported", "14000": "reported"}

_SAYS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), what)
    for pattern, what in (
        (r"became (public|private) law|signed by president", "law"),
        (r"vetoed by president|pocket vetoed", "vetoed"),
        (r"presented to president", "presented"),
        (r"cleared for white house|resolving differences|conference report", "both"),
        (r"(agreed to|concurred in|disagreed to) (the )?(senate|house) amendment", "both"),
        (r"message on senate action sent to the house", "senate"),
        (r"message on house action received in senate", "house"),
        (r"failed of passage|on passage failed|rules and (pass|agree)\b.*\bfailed", "failed"),
        (r"^on passage passed|rules and pass\b.*\bagreed to", "house"),
        (r"^passed(/agreed to in)?:? (the )?house", "house"),
        (r"^passed(/agreed to in)?:? (the )?senate", "senate"),
        (r"received in the senate", "house"),
        (r"received in the house", "senate"),
        (r"held at the desk", "house_desk"),
        (r"senate legislative calendar|reported to senate", "senate_report"),
        (r"union calendar|house calendar|reported in house", "house_report"),
        (r"^reported (by the|\(amended\) by)|\. reported by senator", "reported"),
    )
)


_ELSEWHERE = {
    # What it says of a House bill, and of a Senate bill.
    "senate_report": ("house", "reported"),
    "house_report": ("reported", "senate"),
    "house_desk": ("", "senate"),
}


def _what(action: Action, house_bill: bool) -> str:
    """Give what an action says: a chamber passed it, both did, reported, presented and so on."""
    said = next((what for pattern, what in _SAYS if pattern.search(action.text)), "")
    said = said or _CODES.get(action.code, "")
    return _ELSEWHERE.get(said, (said, said))[0 if house_bill else 1]


def stage_of(kind: str, actions: Iterable[Action]) -> Stage:
    """Give a bill's stage from its actions, oldest first. ``kind`` is "hr", "s", and so on.

    A bill that passed the chamber where it did not begin passed its own before. A failed passage
    counts until a later passage.
    """
    house_bill = kind.startswith("h")
    own, other = ("house", "senate") if house_bill else ("senate", "house")
    marks: set[str] = set()
    for action in actions:
        what = _what(action, house_bill)
        if what in (own, other, "both"):
            marks -= {"failed"}
            marks |= {own} if what == own else {own, other}
        elif what:
            marks.add(what)
    if {own, other} <= marks:
        marks.add("both")
    return next((stage for mark, stage in _FURTHEST_FIRST if mark in marks), "introduced")


_FURTHEST_FIRST: tuple[tuple[str, Stage], ...] = (
    ("law", "law"),
    ("vetoed", "vetoed"),
    ("presented", "presented"),
    ("failed", "failed"),
    ("both", "passed_both"),
    ("senate", "passed_senate"),
    ("house", "passed_house"),
    ("reported", "reported"),
)
