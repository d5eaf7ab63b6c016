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


class OptionsFlow(Frozen):
    """One underlying's options activity."""

    symbol: Symbol
    score: Score
    put_call_volume: Annotated[float, Field(ge=0)] | None = None
    put_call_open_interest: Annotated[float, Field(ge=0)] | None = None
    implied_volatility: Annotated[float, Field(gt=0)] | None = None
    skew: float | None = None
    unusual_volume: float | None = None
    summary: Text = ""


class Insider(Frozen):
    """One issuer's open-market insider trading."""

    symbol: Symbol
    score: Score
    cik: Annotated[int, Field(ge=1)] | None = None
    net_value: float | None = None
    buyers: Annotated[int, Field(ge=0)] = 0
    sellers: Annotated[int, Field(ge=0)] = 0
    accessions: tuple[Short, ...] = ()
    summary: Text = ""


class EarningsCalendar(Frozen):
    """One expected earnings report."""

    symbol: Symbol
    report_date: date
    when: Literal["before_open", "after_close", "during", "unknown"] = "unknown"
    fiscal_quarter: Short | None = None
    eps_estimate: float | None = None


class EconomicCalendar(Frozen):
    """One expected economic release."""

    event: Short
    release_at: AwareDatetime
    importance: Literal["high", "medium", "low"] = "medium"
    previous: float | None = None
    consensus: float | None = None
    actual: float | None = None


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
