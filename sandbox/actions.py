"""A bill's dated stages as the actions that api.congress.gov would list.

The recorded data holds days of text versions and of votes, not actions. What is said here is
rebuilt from them, in the words and codes of the Library of Congress where there are any. It is
pure: the caller says up to which day actions are known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.sandbox.library import Bill, Stage


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a bill's history."""

    day: date
    text: str
    kind: str
    """The API's ``type``: IntroReferral, Committee, Calendars, Floor, President, BecameLaw."""
    code: str = ""


_WORDS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "ih": (("Introduced in House", "IntroReferral", "1000"),),
    "is": (("Introduced in Senate", "IntroReferral", "10000"),),
    "rh": (("Reported in House.", "Committee", "5000"),),
    "rs": (("Reported to Senate.", "Committee", "14000"),),
    "pcs": (("Placed on Senate Legislative Calendar under General Orders.", "Calendars", ""),),
    "fph": (("Failed of passage/not agreed to in House.", "Floor", "9000"),),
    "passed_house": (("Passed/agreed to in House.", "Floor", "8000"),),
    "rds": (("Received in the Senate.", "Floor", ""),),
    "rfs": (("Received in the Senate and referred to committee.", "IntroReferral", ""),),
    "passed_senate": (("Passed/agreed to in Senate.", "Floor", "17000"),),
    "rfh": (("Received in the House and referred to committee.", "IntroReferral", ""),),
    "eas": (
        ("Resolving differences -- Senate actions: Senate amendment.", "ResolvingDifferences", ""),
    ),
    "eah": (
        ("Resolving differences -- House actions: House amendment.", "ResolvingDifferences", ""),
    ),
    "presented": (("Presented to President.", "President", "28000"),),
    "vetoed": (("Vetoed by President.", "President", "31000"),),
}
_SAME_AS: Final = {"eh": "passed_house", "es": "passed_senate", "cps": "passed_senate"}
"""A text engrossed by a chamber says that the chamber passed it."""


@lru_cache(maxsize=4096)
def known_at(day: date) -> datetime:
    """Give the time, in UTC, from which an action of a day is served: the end of that day."""
    return datetime.combine(day + timedelta(days=1), time(), EASTERN).astimezone(UTC)


def actions(bill: Bill, through: date) -> tuple[Action, ...]:
    """Give a bill's actions up to and with a day, newest first, as the API orders them."""
    told: set[tuple[date, str]] = set()
    found: list[Action] = []
    for stage in _steps(bill):
        step = _SAME_AS.get(stage.step, stage.step)
        if stage.day > through or (stage.day, step) in told:
            continue
        told.add((stage.day, step))
        found.extend(_told(bill, Stage(stage.day, step)))
    return tuple(reversed(found))


def _steps(bill: Bill) -> Iterator[Stage]:
    """Give the stages; a bill whose first text is a later one was introduced by then."""
    first = bill.stages[0] if bill.stages else None
    if first is None or first.step not in {"ih", "is"}:
        day = min(first.day, bill.first_day) if first else bill.first_day
        yield Stage(day, "ih" if bill.kind.startswith("h") else "is")
    yield from bill.stages


def _told(bill: Bill, stage: Stage) -> Iterator[Action]:
    if stage.step == "signed":
        law = f"Became Public Law No: {bill.law}." if bill.law else "Became Public Law."
        yield Action(stage.day, "Signed by President.", "President", "E30000")
        yield Action(stage.day, law, "BecameLaw", "36000")
        return
    for text, kind, code in _WORDS.get(stage.step, ()):
        yield Action(stage.day, text, kind, code)
    if stage.step in {"ih", "is"}:
        yield from _referrals(bill, stage)


def _referrals(bill: Bill, stage: Stage) -> Iterator[Action]:
    for committee in bill.committees:
        chamber, _, name = committee.partition(" - ")
        name = name.removesuffix(" Committee")
        if chamber == "House":
            yield Action(
                stage.day, f"Referred to the House Committee on {name}.", "IntroReferral", "H11100"
            )
        else:
            yield Action(
                stage.day, f"Read twice and referred to the Committee on {name}.", "IntroReferral"
            )
