"""Read FRED's release calendar as of a moment: one message for each release and date.

The calendar says the days, the page of FRED's site and the table of releases the times of day, and
the series of a release what it said before and what it says now. What FRED lists as having data is
released; a date that has only passed is not.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.economic.dates import (
    SOURCE,
    Listed,
    Page,
    by_release,
    join,
    read_page,
    standing_alone,
)
from relentless.agents.economic.figures import Figure, Figures
from relentless.agents.economic.memory import Memory, Withdrawn
from relentless.agents.economic.webpage import SOURCE as PAGE
from relentless.agents.economic.webpage import Times, read_body
from relentless.agents.fred.observations import read_rows
from relentless.agents.http import Answer
from relentless.configs.clock import EASTERN
from relentless.configs.events import Event, EventTable, event_table
from relentless.configs.sessions import sessions_ahead
from relentless.proto.contexts import EconomicCalendar, Topic
from relentless.proto.errors import InvalidInput, RelentlessError, SourceMalformed
from relentless.proto.messages import ContextMessage, Evidence

BACK_DAYS: Final = 4
"""Releases that came are told this long, over a weekend with a holiday."""
AHEAD_DAYS: Final = 30
VALID_DAYS: Final = 5
"""A date that nobody confirms any more ends with the fifth day."""
LOOKBACK_DAYS: Final = 500
"""Of a series: five quarters, for the change of the quarter before."""
PAGE_ROWS: Final = 1_000
MAX_PAGES: Final = 20
AT_ONCE: Final = 6


@dataclass(frozen=True, slots=True)
class _Calendar:
    """What was read for one run."""

    today: date
    listed: Mapping[int, frozenset[date]]
    """The dates of the table's releases."""
    out: Mapping[int, frozenset[date]]
    """Those that FRED has data of."""
    times: Times
    evidence: Evidence
    out_evidence: Evidence
    page: Evidence | None
    figures: Mapping[int, tuple[Figures, Evidence]]


class EconomicAgent(Agent):
    """The calendar of economic releases.

    It runs before the context of 05:30, after the reports of 08:30 and after those of 10:00.
    """

    name = "EconomicAgent"
    command = "economic"
    topic = Topic.ECONOMIC_CALENDAR
    schedule = ("05:05", "08:40", "10:10")
    timeout_s = 90.0

    def __init__(self, events: EventTable | None = None) -> None:
        self._events = events or event_table()

    async def collect(self, run: Run) -> Collected:
        """Read the calendar, then the times and the series; the calendar alone is needed."""
        as_of = run.as_of.astimezone(EASTERN)
        today, gaps = as_of.date(), list[Gap]()
        first, last = today - timedelta(days=BACK_DAYS), today + timedelta(days=AHEAD_DAYS)
        live = run.clock.now().astimezone(EASTERN).date() <= today
        if not live:
            gaps.append(Gap("schedule", "known_later", "FRED keeps no calendar of earlier days"))
            last = today
        try:
            (rows, answer), (out, data) = await asyncio.gather(
                self._dates(run, first, last, planned=True),
                self._dates(run, first, today, planned=False),
            )
        except RelentlessError as error:
            return Collected(gaps=(*gaps, Gap.of("calendar", error)))
        listed = self._listed(rows)
        (times, page, lost), (figures, missing) = await asyncio.gather(
            self._times(run, today), self._figures(run, listed)
        )
        found = _Calendar(
            today=today,
            listed=listed,
            out=self._listed(out),
            times=times,
            evidence=answer.evidence("FRED releases/dates"),
            out_evidence=data.evidence("FRED releases/dates with data"),
            page=page,
            figures=figures,
        )
        said = [
            message
            for number, days in sorted(listed.items())
            for day in sorted(days)
            if (message := self._message(run, found, number, day, live=live))
        ]
        if live:
            gone = await asyncio.to_thread(_remember, run, listed, first)
            said += [self._withdrawn(run, found, old) for old in gone]
        beyond = [m for m in said if _past_table(m)]
        if beyond:
            gaps.append(Gap("trading days", "past_table", f"of {len(beyond)} releases"))
        return Collected(messages=tuple(said), gaps=(*gaps, *lost, *missing))

    def _listed(self, rows: tuple[Listed, ...]) -> dict[int, frozenset[date]]:
        """Give the dates of the table's releases; of those listed daily only what stands alone."""
        dates = by_release(rows)
        return {
            event.release_id: standing_alone(days) if event.daily else days
            for event in self._events
            if (days := dates.get(event.release_id))
        }

    async def _dates(
        self, run: Run, first: date, last: date, *, planned: bool
    ) -> tuple[tuple[Listed, ...], Answer]:
        """Read the calendar between two days, whole; ``planned`` takes in dates without data."""
        source = run.source(SOURCE, key_param="api_key")
        pages: list[Page] = []
        answers: list[Answer] = []
        offset = 0
        while len(pages) < MAX_PAGES:
            answer = await source.get_json(
                "/fred/releases/dates",
                {
                    "file_type": "json",
                    "realtime_start": first.isoformat(),
                    "realtime_end": last.isoformat(),
                    "include_release_dates_with_no_data": "true" if planned else "false",
                    "order_by": "release_date",
                    "sort_order": "asc",
                    "limit": PAGE_ROWS,
                    "offset": offset,
                },
            )
            page = read_page(answer.value, offset=offset)
            pages.append(page)
            answers.append(answer)
            offset += len(page.rows)
            if offset >= page.total or not page.rows:
                return join(pages), answers[0]
        raise SourceMalformed(SOURCE, f"releases/dates: more than {MAX_PAGES} pages")

    async def _times(self, run: Run, today: date) -> tuple[Times, Evidence | None, list[Gap]]:
        """Read the times of the day's releases off FRED's site; the rules stand in for it."""
        day = today.isoformat()
        try:
            answer = await run.source(PAGE).get_bytes(
                "/releases/calendar",
                {"ob": "rd", "od": "asc", "vs": day, "ve": day},
                headers={"X-Requested-With": "XMLHttpRequest"},
                accept="application/json, text/html;q=0.9",
            )
            times = await asyncio.to_thread(read_body, answer.value)
        except RelentlessError as error:
            return {}, None, [Gap.of("times of day", error)]
        return times, answer.evidence("FRED releases/calendar"), []

    async def _figures(
        self, run: Run, listed: Mapping[int, frozenset[date]]
    ) -> tuple[dict[int, tuple[Figures, Evidence]], list[Gap]]:
        """Read the series of the releases that are listed, at most six at a time."""
        slots = asyncio.Semaphore(AT_ONCE)
        found: dict[int, tuple[Figures, Evidence]] = {}
        gaps: list[Gap] = []

        async def one(event: Event, series_id: str) -> None:
            async with slots:
                try:
                    found[event.release_id] = await self._series(run, series_id)
                except RelentlessError as error:
                    gaps.append(Gap.of(series_id, error))

        await asyncio.gather(
            *(
                one(event, event.series)
                for event in self._events
                if event.series and listed.get(event.release_id)
            )
        )
        return found, sorted(gaps, key=lambda gap: gap.what)

    async def _series(self, run: Run, series_id: str) -> tuple[Figures, Evidence]:
        today = run.as_of.astimezone(EASTERN).date()
        opens = today - timedelta(days=LOOKBACK_DAYS)
        answer = await run.source(SOURCE, key_param="api_key").get_json(
            "/fred/series/observations",
            {
                "series_id": series_id,
                "file_type": "json",
                "realtime_start": opens.isoformat(),
                "realtime_end": today.isoformat(),
                "observation_start": opens.isoformat(),
            },
        )
        through = self._through(run, series_id)
        rows = tuple(
            Figure(row.day, row.vintage, row.value(series_id))
            for row in read_rows(series_id, answer.value, opens=opens)
            if row.vintage is None or row.vintage <= through
        )
        return Figures(rows), answer.evidence(f"FRED series/observations {series_id}")

    def _through(self, run: Run, series_id: str) -> date:
        """Give the last day whose release of the series is known as of the run's moment."""
        as_of = run.as_of.astimezone(EASTERN)
        at = next((e.at for e in self._events if e.series == series_id), None)
        known = at is not None and at <= as_of.time()
        return as_of.date() if known else as_of.date() - timedelta(days=1)

    def _message(
        self, run: Run, found: _Calendar, number: int, day: date, *, live: bool
    ) -> ContextMessage | None:
        """Write what is known of one release on one date; None where it lies ahead unread."""
        event = self._events.get(number)
        if event is None:
            return None
        at, source = _release_at(event, day, found.times)
        evidence = [found.evidence]
        if source == "calendar" and found.page:
            evidence.append(found.page)
        passed = at <= run.as_of if source else day < found.today
        if not passed and not live:
            return None
        status = "scheduled"
        if passed:
            evidence.append(found.out_evidence)
            status = "released" if day in found.out.get(number, ()) else "delayed"
        context = _context(event, at, source, found.today) | {"status": status}
        if event.series and event.measure and number in found.figures:
            figures, read = found.figures[number]
            evidence.append(read)
            if status == "released":
                actual, previous = figures.released(day, event.measure)
                context |= {"actual": actual, "previous": previous}
            else:
                context["previous"] = figures.newest(found.today, event.measure)
            context |= {"series_id": event.series, "measure": event.measure}
        return self._compose(run, context, at, evidence)

    def _withdrawn(self, run: Run, found: _Calendar, old: Withdrawn) -> ContextMessage:
        """Say that the calendar no longer has a date."""
        event = self._events.get(old.release_id)
        if event is None:
            raise InvalidInput(f"release {old.release_id} is not in the table")
        at, source = _release_at(event, old.day, {})
        context = _context(event, at, source, found.today) | {
            "status": "withdrawn",
            "moved_to": old.moved_to,
        }
        return self._compose(run, context, at, [found.evidence])

    def _compose(
        self, run: Run, context: dict[str, object], at: datetime, evidence: list[Evidence]
    ) -> ContextMessage:
        day = run.as_of.astimezone(EASTERN).date()
        return self.compose(
            run,
            EconomicCalendar.model_validate(context),
            observed_at=at,
            known_at=run.as_of,
            expires_at=datetime.combine(day + timedelta(days=VALID_DAYS + 1), time(), EASTERN),
            evidence=evidence,
        )


def _release_at(event: Event, day: date, times: Times) -> tuple[datetime, str | None]:
    """Give a release's time and where it is from; midnight and None where only the day is known."""
    stated = times.get((event.release_id, day))
    if stated is not None:
        return stated.astimezone(EASTERN), "calendar"
    if event.at is not None:
        return datetime.combine(day, event.at, EASTERN), "rule"
    return datetime.combine(day, time(), EASTERN), None


def _context(event: Event, at: datetime, source: str | None, today: date) -> dict[str, object]:
    """Give what every message of a release says."""
    day = at.date()
    said: dict[str, object] = {
        "event": event.name,
        "release_id": event.release_id,
        "release_at": at,
        "importance": event.importance,
        "time_known": source is not None,
        "time_source": source,
    }
    if day >= today:
        said["days_ahead"] = (day - today).days
        said["trading_days_ahead"] = _sessions_ahead(today, day)
    return said


def _sessions_ahead(today: date, day: date) -> int | None:
    try:
        return sessions_ahead(today, day)
    except InvalidInput:
        return None


def _past_table(message: ContextMessage) -> bool:
    context = message.context
    return context.get("days_ahead") is not None and context.get("trading_days_ahead") is None


def _remember(
    run: Run, listed: Mapping[int, frozenset[date]], first: date
) -> tuple[Withdrawn, ...]:
    """Give the dates that the calendar lost since earlier runs, and keep what it has now."""
    memory = Memory(run.state, run.identity(SOURCE))
    gone = memory.withdrawn(listed, as_of=run.as_of, first=first, ahead=AHEAD_DAYS)
    memory.keep(listed, run.as_of)
    return gone
