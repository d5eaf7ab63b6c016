"""Read the pending bills of the sitting Congress as of a moment: one message for each.

A run syncs the list (whole at first, then what changed), keeps the bills that can become law and
whose titles name one of eight categories, ranks them by what the list says, and reads detail,
actions and committees of the most relevant. What is known only after the run's moment is left
out: such a bill is rebuilt from its actions known by then. The rules: docs/agents/congress.md.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import ClassVar

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.congress.categories import categories_of, sectors_of
from relentless.agents.congress.details import Reader
from relentless.agents.congress.listing import synced_list
from relentless.agents.congress.reading import NO_FACTS, SOURCE, Facts, Listed
from relentless.agents.congress.shelf import Kept, Shelf
from relentless.agents.congress.stages import Action, known_at, stage_of
from relentless.configs.clock import EASTERN
from relentless.models.impact import market_impact
from relentless.models.legislation import number_order, relevance
from relentless.models.passage import STAGES, passage_of, share_left
from relentless.proto.contexts import Legislation, Origin, Stage, Topic
from relentless.proto.errors import SourceError, SourceRejected
from relentless.proto.messages import ContextMessage, Evidence

MAX_BILLS = 250
"""Messages a run, the most relevant first."""
MAX_REBUILT = 300
"""Bills a run whose latest action is not yet known and that are rebuilt from their actions."""
VALID_DAYS = 7
"""A message stands for this many days after its own: a silent agent's bills expire."""
TOLD_AFTER_DAYS = 2 * VALID_DAYS
"""A bill that is pending no longer is told for this long: older messages of it have expired."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A relevant bill by what the list says of it, before its facts are read."""

    listed: Listed
    latest: Action
    """The latest action known by the run's moment."""
    categories: tuple[str, ...]
    weight: float | None
    """None where it is pending no longer: it is told once more, so that nobody counts it."""
    rebuilt: Kept | None = None
    """Its facts, where the list knows more than may be known."""

    @property
    def order(self) -> tuple[float, int, tuple[int, int, str, int]]:
        """Sort key: the most relevant first, then the most recent, then by number."""
        day = self.latest.day.toordinal()
        return (-(self.weight or 0.0), -day, number_order(self.listed.bill_id))


@dataclass(frozen=True, slots=True)
class Chance:
    """A bill's stage, and its chance to become law as introduced and now, where they are known."""

    stage: Stage
    introduced: float | None = None
    now: float | None = None


class CongressAgent(Agent):
    """The bills of the sitting Congress, from api.congress.gov v3."""

    name: ClassVar[str] = "CongressAgent"
    command: ClassVar[str] = "congress"
    topic: ClassVar[Topic] = Topic.LEGISLATION
    schedule: ClassVar[tuple[str, ...]] = ("05:10", "06:00")
    timeout_s: ClassVar[float] = 1_500.0
    """A first live sync asks some 1,300 times at 80 a minute."""

    async def collect(self, run: Run) -> Collected:
        """Read the most relevant pending bills.

        Without the whole list nothing is said: a part of the list would read as less risk.
        """
        source = run.source(SOURCE, key_header="X-Api-Key")
        shelf = Shelf(run.state, congress_of(run.as_of), run.identity(SOURCE))
        try:
            bills, gaps = await synced_list(source, shelf, congress_of(run.as_of), run.as_of)
        except SourceError as error:
            return Collected(gaps=(refused_gap("bill list", error),))
        reader = Reader(source, shelf)
        candidates, lost = await self._candidates(run, reader, bills)
        pending = [candidate for candidate in candidates if candidate.weight is not None]
        chosen = sorted(pending, key=lambda candidate: candidate.order)[:MAX_BILLS]
        facts = await reader.read_all(candidate.listed for candidate in chosen)
        chosen += [candidate for candidate in candidates if candidate.weight is None]
        known = [(one, facts.get(one.listed.bill_id) or one.rebuilt) for one in chosen]
        chances = await asyncio.to_thread(_chances, known, run.as_of)
        messages = [
            self._message(run, candidate, kept, chance)
            for (candidate, kept), chance in zip(known, chances, strict=True)
        ]
        gaps += [*lost, *reader.gaps()]
        return Collected(messages=tuple(messages), gaps=tuple(gaps))

    async def _candidates(
        self, run: Run, reader: Reader, bills: Iterable[Listed]
    ) -> tuple[list[Candidate], list[Gap]]:
        """Give the relevant bills, and a gap where too many would have to be rebuilt."""
        relevant = await asyncio.to_thread(_relevant, tuple(bills))
        later = [bill for bill, _ in relevant if known_at(bill.latest.day) > run.as_of]
        later.sort(key=lambda bill: number_order(bill.bill_id))
        rebuilt = await reader.read_all(later[:MAX_REBUILT])
        unknown = {bill.bill_id for bill in later} - rebuilt.keys()
        candidates: list[Candidate] = []
        for bill, categories in relevant:
            kept = rebuilt.get(bill.bill_id)
            history = kept.facts.actions_by(run.as_of) if kept else (bill.latest,)
            if bill.bill_id not in unknown and history:
                candidate = _candidate(run, bill, categories, history, kept)
                candidates.extend([candidate] if candidate else [])
        too_many = len(later) - MAX_REBUILT
        gaps = [Gap("bills", "known_later", f"{too_many} not rebuilt")] if too_many > 0 else []
        return candidates, gaps

    def _message(
        self, run: Run, candidate: Candidate, kept: Kept | None, chance: Chance
    ) -> ContextMessage:
        """Write a bill's message, from its facts where they were read, else from the list."""
        listed = candidate.listed
        facts = kept.facts if kept else NO_FACTS
        history = _history(listed, facts, run.as_of)
        latest = history[-1]
        committees = facts.committees_by(run.as_of)
        impact, parts = None, None
        if chance.now is not None:
            impact, parts = market_impact(listed.title, candidate.categories, chance.now)
        day = run.as_of.astimezone(EASTERN).date()
        return self.compose(
            run,
            Legislation(
                bill_id=listed.bill_id,
                title=listed.title[:2_000],
                stage=chance.stage,
                latest_action=latest.text[:2_000],
                latest_action_date=latest.day,
                introduced_date=facts.introduced,
                sponsor_party=facts.party,
                committees=committees,
                cosponsors=facts.cosponsors_by(run.as_of) if kept else None,
                categories=candidate.categories,
                sectors_affected=sectors_of(candidate.categories, committees),
                likelihood_pass=chance.now,
                likelihood_introduced=chance.introduced,
                market_impact=impact,
                impact_parts=parts,
            ),
            known_at=_known_at(listed, latest, run.as_of),
            observed_at=datetime.combine(latest.day, time(), EASTERN),
            expires_at=datetime.combine(day + timedelta(days=VALID_DAYS + 1), time(), EASTERN),
            evidence=kept.evidence if kept else (_list_evidence(listed),),
        )


def congress_of(moment: datetime) -> int:
    """Give the number of the Congress that sits at a moment; each begins at noon on 3 January."""
    local = moment.astimezone(EASTERN)
    first_year = local.year - 1 + local.year % 2
    begins = datetime(first_year, 1, 3, 12, tzinfo=EASTERN)
    return (first_year - 1789) // 2 + (1 if local >= begins else 0)


def refused_gap(what: str, error: SourceError) -> Gap:
    """Give the gap of an error; a refusal says what to do."""
    gap = Gap.of(what, error)
    if not isinstance(error, SourceRejected):
        return gap
    todo = {
        403: "set CONGRESS_API_KEY to a valid key of api.data.gov",
        404: "check the address under [sources.congress]",
    }.get(error.status or 0, "check [sources.congress]")
    return Gap(what, gap.reason, f"{todo}; {gap.detail}"[:200])


def _chances(known: list[tuple[Candidate, Kept | None]], as_of: datetime) -> list[Chance]:
    """Give every bill's chance; none where its facts are missing or it is pending no longer."""
    today = as_of.astimezone(EASTERN).date()
    return [_chance(candidate, kept, as_of, today) for candidate, kept in known]


def _chance(candidate: Candidate, kept: Kept | None, as_of: datetime, today: date) -> Chance:
    listed = candidate.listed
    history = _history(listed, kept.facts if kept else NO_FACTS, as_of)
    stage = stage_of(listed.kind, history)
    bill = kept.facts.at_introduction(listed.bill_id) if kept else None
    if bill is None or stage not in STAGES:
        return Chance(stage)
    model = passage_of(bill.congress)
    introduced = model.at_introduction(bill)
    return Chance(
        stage, introduced, model.given_stage(introduced, stage, share_left(bill.congress, today))
    )


def _relevant(bills: tuple[Listed, ...]) -> list[tuple[Listed, tuple[str, ...]]]:
    """Give the bills that are in a category, with their categories."""
    return [(bill, found) for bill in bills if (found := categories_of(bill.title))]


def _candidate(
    run: Run,
    bill: Listed,
    categories: tuple[str, ...],
    history: tuple[Action, ...],
    kept: Kept | None,
) -> Candidate | None:
    """Give a bill's candidate; None where it stopped being pending long ago."""
    today = run.as_of.astimezone(EASTERN).date()
    latest, stage = history[-1], stage_of(bill.kind, history)
    weight = relevance(stage, latest.day, categories, today)
    if weight is None and (today - latest.day).days > TOLD_AFTER_DAYS:
        return None
    return Candidate(bill, latest, categories, weight, kept)


def _history(listed: Listed, facts: Facts, as_of: datetime) -> tuple[Action, ...]:
    """Give the known actions, oldest first; the list's latest is among them once it is known."""
    history = facts.actions_by(as_of)
    told = {(action.day, action.text) for action in history}
    if known_at(listed.latest.day) <= as_of and (listed.latest.day, listed.latest.text) not in told:
        history = tuple(sorted((*history, listed.latest), key=lambda action: action.day))
    return history


def _known_at(listed: Listed, latest: Action, as_of: datetime) -> datetime:
    """Give when what is said was known.

    The latest action at the end of its day, or when live it was first seen; and the chance with the
    beginning of the run's day, since it falls with the time that is left.
    """
    day = as_of.astimezone(EASTERN).date()
    known = max(known_at(latest.day), datetime.combine(day, time(), EASTERN))
    if listed.seen_at and listed.origin == Origin.LIVE.value and latest.day == listed.latest.day:
        known = max(known, datetime.fromisoformat(listed.seen_at))
    return min(known, as_of)


def _list_evidence(listed: Listed) -> Evidence:
    return Evidence(
        source="Congress.gov v3 bill list",
        sha256=listed.sha256 or None,
        upstream_timestamp=listed.updated,
        origin=Origin(listed.origin),
    )
