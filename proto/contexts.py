"""What a message can say: one type of context for each topic. Pure, no I/O.

The envelope around them is in :mod:`relentless.proto.messages`.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from relentless.proto.base import Frozen, Score, Short, Symbol, Text, Unit


class Topic(StrEnum):
    """The subject of a message; each has one type of context."""

    LEGISLATION = "legislation"
    RATES = "rates"
    FILING = "filing"
    NEWS = "news"
    OPTIONS_FLOW = "options_flow"
    INSIDER = "insider"
    EARNINGS_CALENDAR = "earnings_calendar"
    ECONOMIC_CALENDAR = "economic_calendar"
    DAILY_CONTEXT = "daily_context"
    SIGNAL = "signal"
    NOTE = "note"


HUB_TOPICS = frozenset({Topic.DAILY_CONTEXT, Topic.SIGNAL})
"""Topics that the hub alone publishes."""


class Origin(StrEnum):
    """How a value came to be."""

    LIVE = "live"
    RECORDED = "recorded"
    SYNTHETIC = "synthetic"


Stage = Literal[
    "introduced",
    "reported",
    "passed_house",
    "passed_senate",
    "passed_both",
    "presented",
    "law",
    "vetoed",
    "failed",
]
"""How far a bill has come."""


class Legislation(Frozen):
    """One bill, as known at a time."""

    bill_id: Annotated[str, Field(pattern=r"^\d{1,3}-[a-z]+-\d+$")]
    """Congress, type, number: "113-hjres-59"."""
    title: Text
    stage: Stage
    latest_action: Text = ""
    latest_action_date: date
    introduced_date: date | None = None
    sponsor_party: Annotated[str, Field(max_length=4)] | None = None
    committees: tuple[Short, ...] = ()
    cosponsors: Annotated[int, Field(ge=0)] | None = None
    categories: tuple[Short, ...] = ()
    sectors_affected: tuple[Short, ...] = ()
    likelihood_pass: Unit | None = None
    market_impact: Score | None = None
    """Direction x category weight x ``likelihood_pass``: a stated formula, not a fit."""
    impact_parts: Annotated[dict[Short, float], Field(max_length=12)] | None = None
    """What ``market_impact`` is made of, by name."""
    likelihood_introduced: Unit | None = None
    """The chance as introduced, before the stage and the time left count."""


class Rates(Frozen):
    """One observation of one economic series, with what its history says of it."""

    series_id: Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,40}$")]
    value: float
    units: Short = ""
    previous: float | None = None
    """The observation before this one."""
    change: float | None = None
    """``value - previous``, in the series' units."""
    change_days: Annotated[int, Field(ge=1)] | None = None
    """Calendar days between the two observations that ``change`` compares."""
    change_3m: float | None = None
    """Against the observation three calendar months earlier; None where that month is missing."""
    change_12m_pct: float | None = None
    """Per cent against the observation twelve calendar months earlier."""
    previous_change_3m: float | None = None
    """``change_3m`` as of the observation before."""
    previous_change_12m_pct: float | None = None
    """``change_12m_pct`` as of the observation before."""
    zscore: float | None = None
    """(value - mean) / sample standard deviation over the window; None where undefined."""
    percentile: Unit | None = None
    """Share of the window's values less than or equal to this one."""
    window_days: Annotated[int, Field(ge=1)] | None = None
    window_count: Annotated[int, Field(ge=0)] | None = None


class Filing(Frozen):
    """One SEC filing."""

    accession: Annotated[str, Field(pattern=r"^\d{10}-\d{2}-\d{6}$")]
    cik: Annotated[int, Field(ge=1)]
    form: Short
    symbol: Symbol | None = None
    company: Short = ""
    items: tuple[Short, ...] = ()
    accepted_at: AwareDatetime
    accepted_exact: bool | None = None
    """False where the time may be hours late: EDGAR's JSON states no zone."""
    report_date: date | None = None
    """The period or the event that it reports on."""
    importance: Unit | None = None
    """How much a filing of this form and these items tends to matter, for ordering."""
    summary: Text = ""


class News(Frozen):
    """One story about one asset."""

    asset: Symbol
    sentiment: Literal["positive", "neutral", "negative"]
    confidence: Unit
    summary: Text
    score: Score | None = None
    headline: Text | None = None
    story_id: Short | None = None
    topics: tuple[Short, ...] = ()
    publisher: Short | None = None
    """Of the earliest copy."""
    url: Annotated[str, Field(max_length=1_000)] | None = None
    """Of the earliest copy, without what only tells where a reader came from."""
    companies: Annotated[tuple[Short, ...], Field(max_length=20)] = ()
    people: Annotated[tuple[Short, ...], Field(max_length=20)] = ()
    revision: Annotated[int, Field(ge=0)] | None = None
    """0 as first published; an edit counts up."""
    copies: Annotated[int, Field(ge=1)] | None = None
    """How often the story was found, under any id or address."""
    publishers: Annotated[tuple[Short, ...], Field(max_length=20)] = ()
    """Who has a copy."""
    engine: Short | None = None
    """What read the story, with its version."""


class OptionsFlow(Frozen):
    """One underlying's options activity in one session."""

    symbol: Symbol
    score: Score
    put_call_volume: Annotated[float, Field(ge=0)] | None = None
    put_call_open_interest: Annotated[float, Field(ge=0)] | None = None
    open_interest_date: date | None = None
    """The close that the open interest belongs to: the one before the session."""
    implied_volatility: Annotated[float, Field(gt=0)] | None = None
    """At the money in 30 days, a fraction a year."""
    skew: float | None = None
    """Put of delta -0.25 less call of delta 0.25, in 30 days."""
    skew_moneyness: float | None = None
    """At 90 per cent of the price less at 110 per cent, in 30 days."""
    term: float | None = None
    """At the money in 90 days less in 30."""
    unusual_volume: float | None = None
    """Standard deviations of log volume from earlier sessions."""
    compared_with: Literal["own_history", "basket"] | None = None
    opening_contracts: Annotated[int, Field(ge=0)] | None = None
    """Contracts whose volume is above the open interest of the close before."""
    block_trades: Annotated[int, Field(ge=0)] | None = None
    block_volume: Annotated[int, Field(ge=0)] | None = None
    volume: Annotated[int, Field(ge=0)] | None = None
    session: date | None = None
    """The day that the volume belongs to."""
    session_closed: bool | None = None
    vendor: Short | None = None
    expirations: Annotated[int, Field(ge=0)] | None = None
    """How many were read."""
    expirations_listed: Annotated[int, Field(ge=0)] | None = None
    """How many there are, where not all were read."""
    parts: Annotated[dict[Short, Score], Field(max_length=16)] | None = None
    """What the score is made of."""
    summary: Text = ""


class Insider(Frozen):
    """One issuer's open-market insider trading over a window. Money is in dollars."""

    symbol: Symbol
    score: Score
    cik: Annotated[int, Field(ge=1)] | None = None
    net_value: float | None = None
    """``buy_value - sell_value``."""
    buyers: Annotated[int, Field(ge=0)] = 0
    """Distinct insiders who bought outside of plans."""
    sellers: Annotated[int, Field(ge=0)] = 0
    """Distinct insiders who sold outside of plans."""
    accessions: Annotated[tuple[Short, ...], Field(max_length=100)] = ()
    """The newest filings first."""
    summary: Text = ""
    issuer: Short | None = None
    window_days: Annotated[int, Field(ge=1)] | None = None
    buy_value: Annotated[float, Field(ge=0)] | None = None
    """Bought outside of plans."""
    sell_value: Annotated[float, Field(ge=0)] | None = None
    """Sold outside of plans."""
    plan_buy_value: Annotated[float, Field(ge=0)] | None = None
    plan_sell_value: Annotated[float, Field(ge=0)] | None = None
    """Sold under Rule 10b5-1 plans, or to pay the tax on an award."""
    opportunistic: Annotated[int, Field(ge=0)] | None = None
    """Trades, outside of plans, of insiders who are opportunistic in that year."""
    unclassified: Annotated[int, Field(ge=0)] | None = None
    """The same of insiders without a trade in each of the three years before."""
    routine: Annotated[int, Field(ge=0)] | None = None
    """The same of insiders who trade in the same month every year."""
    cluster: bool | None = None
    """Whether three officers or directors bought."""
    first_known_at: AwareDatetime | None = None
    """When the oldest trade of the window became public."""
    last_known_at: AwareDatetime | None = None
    """When the newest did."""
    history_years: Annotated[int, Field(ge=0, le=3)] | None = None
    """Whole years before this one whose Forms 4 are all read; None where it is not known."""


class EarningsCalendar(Frozen):
    """One earnings report of one company's quarter: expected, moved, cancelled, or made."""

    symbol: Symbol
    report_date: date
    when: Literal["before_open", "after_close", "during", "unknown"] = "unknown"
    fiscal_quarter: Short | None = None
    """The month in which the quarter ends: "2013-09"."""
    eps_estimate: float | None = None
    status: Literal["expected", "moved", "cancelled", "reported"] = "expected"
    """``moved``: another date than was said before. ``reported``: EDGAR accepted an 8-K of it."""
    trading_days_ahead: Annotated[int, Field(ge=0)] | None = None
    """Sessions from the run's day to the report; 0 is that day. None past the exchange table."""
    confidence: Unit | None = None
    other_date: date | None = None
    """What another calendar says, where the two do not agree."""
    previous_report_date: date | None = None
    """The date that was said before it was moved."""
    revisions: Annotated[int, Field(ge=0)] | None = None
    """How often the date has moved since it was first seen."""
    first_seen_at: AwareDatetime | None = None
    """The run that first saw this date, time of day, estimate and status."""
    reported_at: AwareDatetime | None = None
    """EDGAR's acceptance of the 8-K."""
    accession: Annotated[str, Field(pattern=r"^\d{10}-\d{2}-\d{6}$")] | None = None
    sources: tuple[Short, ...] = ()
    """Which calendars say so."""


class EconomicCalendar(Frozen):
    """One expected economic release."""

    event: Short
    release_at: AwareDatetime
    importance: Literal["high", "medium", "low"] = "medium"
    previous: float | None = None
    consensus: float | None = None
    """Always None from our own agent: no free source has it."""
    actual: float | None = None
    release_id: Annotated[int, Field(ge=1)] | None = None
    """FRED's number of the release."""
    status: Literal["scheduled", "released", "delayed", "withdrawn"] = "scheduled"
    """delayed: its time has passed and nothing came; withdrawn: the calendar no longer has it."""
    moved_to: date | None = None
    """Of a withdrawn date: the one that came into the calendar in its place."""
    time_known: bool = True
    """False: only the day is known, and ``release_at`` is its midnight, Eastern."""
    time_source: Literal["calendar", "rule"] | None = None
    days_ahead: Annotated[int, Field(ge=0)] | None = None
    """Calendar days from the day on which it was said, Eastern."""
    trading_days_ahead: Annotated[int, Field(ge=0)] | None = None
    """Exchange sessions after that day, up to the release's."""
    series_id: Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,40}$")] | None = None
    """The series that ``previous`` and ``actual`` are of."""
    measure: Literal["level", "change", "change_pct"] | None = None
    """The value itself, or its change from the observation before."""


class DailyContextNotice(Frozen):
    """A daily context was built; read the whole by its id."""

    context_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    trading_date: date
    as_of: AwareDatetime
    ok: Annotated[int, Field(ge=0)]
    """Features that may be used."""
    flagged: tuple[Short, ...] = ()
    """Features that are stale or missing."""


class SignalNotice(Frozen):
    """A signal was emitted; the frame is its 64 bytes in hex."""

    session: Short
    sequence: Annotated[int, Field(ge=0)]
    symbol: Symbol
    frame: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


CONTEXT_TYPES: Mapping[Topic, type[Frozen]] = {
    Topic.LEGISLATION: Legislation,
    Topic.RATES: Rates,
    Topic.FILING: Filing,
    Topic.NEWS: News,
    Topic.OPTIONS_FLOW: OptionsFlow,
    Topic.INSIDER: Insider,
    Topic.EARNINGS_CALENDAR: EarningsCalendar,
    Topic.ECONOMIC_CALENDAR: EconomicCalendar,
    Topic.DAILY_CONTEXT: DailyContextNotice,
    Topic.SIGNAL: SignalNotice,
}
"""Every topic but ``note``, whose context is any JSON object within the size limit."""


AGENT_TOPICS: Mapping[str, Topic] = {
    "CongressAgent": Topic.LEGISLATION,
    "FredAgent": Topic.RATES,
    "SecAgent": Topic.FILING,
    "NewsAnalysisAgent": Topic.NEWS,
    "OptionsFlowAgent": Topic.OPTIONS_FLOW,
    "InsiderAgent": Topic.INSIDER,
    "EarningsAgent": Topic.EARNINGS_CALENDAR,
    "EconomicAgent": Topic.ECONOMIC_CALENDAR,
}
"""Our own agents and their topics."""
