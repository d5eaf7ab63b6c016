"""Reading what api.congress.gov v3 answers: list items, details, actions, committees. Pure.

Every function takes decoded JSON and gives facts, or raises ``SourceMalformed``. Traps that it
knows: the number is ``number`` and the type ``type``; sponsors are a list of the detail alone; the
title may be empty; sponsors, titles and committees may be missing for hours on a new bill;
``updateDate`` says when a record was touched and is never the time of an event.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from relentless.agents.congress.stages import Action, known_at
from relentless.models.passage import Introduced
from relentless.proto.errors import SourceMalformed

SOURCE = "congress"
LAW_CAPABLE = frozenset({"hr", "s", "hjres", "sjres"})
"""Types that can become law; simple and concurrent resolutions cannot."""
MAX_COMMITTEES = 20
_OFFICIAL = re.compile(
    r"to |a bill |an act |for the relief|(a )?joint resolution|"
    r"(making|providing|proposing|disapproving|authorizing|appointing|approving) (?!.*\bact\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One law-capable bill as a list states it."""

    bill_id: str
    """Congress, type, number: "113-hjres-59"."""
    title: str
    latest: Action
    updated: str
    """The record's ``updateDate``, as it stands."""
    sha256: str = ""
    """Of the page that stated it."""
    origin: str = "live"
    seen_at: str = ""
    """When a later sync first saw this latest action, ISO 8601; "" where the first sync did."""

    @property
    def kind(self) -> str:
        """The type: "hr", "s", "hjres", "sjres"."""
        return self.bill_id.split("-")[1]

    @property
    def path(self) -> str:
        """The bill's address under the API's root."""
        return "/v3/bill/" + self.bill_id.replace("-", "/")

    @property
    def version(self) -> str:
        """What must be equal for cached facts to hold."""
        return f"{self.updated} {self.latest.day} {self.latest.text}"


@dataclass(frozen=True, slots=True)
class Committee:
    """One committee; ``since`` is the day of its first activity, where stated."""

    name: str
    since: date | None


@dataclass(frozen=True, slots=True)
class Cosponsor:
    """One cosponsor: the days of signing and of withdrawing, where stated."""

    party: str
    original: bool
    since: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the answers about one bill say."""

    introduced: date | None
    party: str | None
    committees: tuple[Committee, ...]
    actions: tuple[Action, ...]
    """Oldest first."""
    sponsor: str = ""
    """Bioguide id; "" where it is not stated."""
    cosponsors: tuple[Cosponsor, ...] = ()
    official_title: str = ""
    """As introduced."""

    def cosponsors_by(self, as_of: datetime) -> int:
        """Count those who had signed, and not withdrawn, as known by a moment."""
        return sum(
            (one.since is None or known_at(one.since) <= as_of)
            and not (one.until and known_at(one.until) <= as_of)
            for one in self.cosponsors
        )

    def at_introduction(self, bill_id: str) -> Introduced | None:
        """Give the bill as introduced; None where the day of its introduction is not stated.

        Committees count whose first activity came at the latest on the day after.
        """
        if self.introduced is None:
            return None
        congress, kind, number = bill_id.split("-")
        original = [one.party for one in self.cosponsors if one.original]
        democrats, republicans = original.count("D"), original.count("R")
        day_after = self.introduced + timedelta(days=1)
        return Introduced(
            congress=int(congress),
            kind=kind,
            number=int(number),
            title=self.official_title,
            day=self.introduced,
            sponsor=self.sponsor,
            party=self.party or "",
            cosponsors=(democrats, republicans, len(original) - democrats - republicans),
            committees=tuple(
                one.name for one in self.committees if one.since is None or one.since <= day_after
            ),
        )

    def actions_by(self, as_of: datetime) -> tuple[Action, ...]:
        """Give the actions that were known by a moment."""
        return tuple(action for action in self.actions if known_at(action.day) <= as_of)

    def committees_by(self, as_of: datetime) -> tuple[str, ...]:
        """Give the committees whose first activity was known by a moment."""
        return tuple(c.name for c in self.committees if not c.since or known_at(c.since) <= as_of)


NO_FACTS = Facts(None, None, (), ())
"""Of a bill whose facts could not be read."""


def day_of(value: Any) -> date:
    """Read "2013-09-30", with or without a time behind it.

    Raises:
        SourceMalformed: anything else.
    """
    try:
        return date.fromisoformat(value[:10])
    except (TypeError, ValueError):
        raise SourceMalformed(SOURCE, f"no date: {str(value)[:40]!r}") from None


def items_of(body: Any, name: str) -> tuple[list[Any], int]:
    """Give a page's items and the count of all pages.

    Raises:
        SourceMalformed: the page has no list under ``name``, or no count.
    """
    items = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(items, list):
        raise SourceMalformed(SOURCE, f"a page without its list of {name}")
    pagination = body.get("pagination")
    count = pagination.get("count") if isinstance(pagination, Mapping) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise SourceMalformed(SOURCE, f"a page of {name} without pagination.count")
    return items, count


def read_action(item: Any) -> Action:
    """Read one action, of a list or as ``latestAction``.

    Raises:
        SourceMalformed: it has no date or its text is no text.
    """
    if not isinstance(item, Mapping):
        raise SourceMalformed(SOURCE, "an action is not an object")
    text, code = item.get("text") or "", item.get("actionCode") or ""
    if not isinstance(text, str) or not isinstance(code, str):
        raise SourceMalformed(SOURCE, "an action's text is not text")
    return Action(day_of(item.get("actionDate")), " ".join(text.split()), code)


def read_listed(item: Any, congress: int) -> Listed | None:
    """Read one list item; None for a type that cannot become law, or a bill without any action.

    Raises:
        SourceMalformed: a field that every item has is missing or wrong.
    """
    if not isinstance(item, Mapping):
        raise SourceMalformed(SOURCE, "a list item is not an object")
    kind, number, title = item.get("type"), item.get("number"), item.get("title") or ""
    if not isinstance(kind, str) or not str(number).isdecimal() or not isinstance(title, str):
        raise SourceMalformed(SOURCE, f"a list item without type, number or title: {kind} {number}")
    if item.get("congress") != congress:
        raise SourceMalformed(SOURCE, f"{kind} {number} belongs to another Congress than asked")
    if kind.lower() not in LAW_CAPABLE or item.get("latestAction") is None:
        return None
    updated = item.get("updateDateIncludingText") or item.get("updateDate")
    day_of(updated)
    return Listed(
        bill_id=f"{congress}-{kind.lower()}-{int(str(number))}",
        title=" ".join(title.split()),
        latest=read_action(item["latestAction"]),
        updated=str(updated),
    )


def read_facts(
    detail: Any,
    actions: list[Any],
    committees: list[Any],
    cosponsors: Sequence[Any] = (),
    official_title: str = "",
) -> Facts:
    """Put what is said of a bill together; what is missing stays None.

    Raises:
        SourceMalformed: a part that is there breaks its contract.
    """
    bill = detail.get("bill") if isinstance(detail, Mapping) else None
    if not isinstance(bill, Mapping):
        raise SourceMalformed(SOURCE, "a detail without its bill")
    introduced = bill.get("introducedDate")
    newest_first = [read_action(item) for item in actions]
    return Facts(
        introduced=day_of(introduced) if introduced else None,
        party=_party(bill.get("sponsors")),
        committees=tuple(_committees(committees))[:MAX_COMMITTEES],
        actions=tuple(sorted(reversed(newest_first), key=lambda action: action.day)),
        sponsor=_sponsor(bill.get("sponsors")),
        cosponsors=tuple(_cosponsor(item) for item in cosponsors),
        official_title=official_title,
    )


def is_official(title: str) -> bool:
    """Tell whether a display title is the official one: the bill has no short title."""
    return _OFFICIAL.match(title) is not None


def official_of(titles: list[Any]) -> str:
    """Give the official title as introduced from the titles of a bill; "" where none is there."""
    for item in titles:
        kind = item.get("titleType") if isinstance(item, Mapping) else None
        if isinstance(kind, str) and kind.lower().startswith("official title as introduced"):
            title = item.get("title")
            return " ".join(title.split()) if isinstance(title, str) else ""
    return ""


def has_cosponsors(detail: Any) -> bool:
    """Tell whether a detail counts any cosponsor, also one that withdrew."""
    bill = detail.get("bill") if isinstance(detail, Mapping) else None
    said = bill.get("cosponsors") if isinstance(bill, Mapping) else None
    return isinstance(said, Mapping) and said.get("countIncludingWithdrawnCosponsors", 1) != 0


def _sponsor(sponsors: Any) -> str:
    first = sponsors[0] if isinstance(sponsors, list) and sponsors else None
    name = first.get("bioguideId") if isinstance(first, Mapping) else None
    return name if isinstance(name, str) else ""


def _cosponsor(item: Any) -> Cosponsor:
    if not isinstance(item, Mapping):
        raise SourceMalformed(SOURCE, "a cosponsor is not an object")
    party, since = item.get("party") or "", item.get("sponsorshipDate")
    until, original = item.get("sponsorshipWithdrawnDate"), item.get("isOriginalCosponsor")
    if not isinstance(party, str) or not isinstance(original, bool):
        raise SourceMalformed(SOURCE, "a cosponsor without party or isOriginalCosponsor")
    return Cosponsor(
        party[:4], original, day_of(since) if since else None, day_of(until) if until else None
    )


def _party(sponsors: Any) -> str | None:
    first = sponsors[0] if isinstance(sponsors, list) and sponsors else None
    party = first.get("party") if isinstance(first, Mapping) else None
    return party[:4] if isinstance(party, str) and party else None


def _committees(items: list[Any]) -> Iterator[Committee]:
    for item in items:
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or not name:
            raise SourceMalformed(SOURCE, "a committee without a name")
        chamber = item.get("chamber")
        activities = item.get("activities")
        days = [
            day_of(activity.get("date"))
            for activity in (activities if isinstance(activities, list) else [])
            if isinstance(activity, Mapping) and activity.get("date")
        ]
        full = f"{chamber} {name}" if isinstance(chamber, str) and chamber else name
        yield Committee(full[:200], min(days, default=None))
