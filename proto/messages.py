"""What agents exchange: the context message, its typed contexts, and the daily context.

These are the contracts as pydantic models: frozen, bounded, without NaN or Inf. They do no I/O.
Above them stand the hub (which resolves defaults and stores) and the agents (which write them).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from relentless.proto.errors import InvalidMessage

MAX_CONTEXT_BYTES = 16_384
BROADCAST = "*"

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9.\-]{0,11}$")]
Short = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2_000)]
Unit = Annotated[float, Field(ge=0, le=1)]
Score = Annotated[float, Field(ge=-1, le=1)]


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


class Frozen(BaseModel):
    """Base of every contract here."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True
    )


class Evidence(Frozen):
    """Where a message's content was read."""

    source: Short
    """Name of the source and of what was asked, "FRED series/observations DGS10"."""
    url: Annotated[str, Field(max_length=1_000)] | None = None
    """Without secrets. The hub never fetches it."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the raw response body, which lies content-addressed in the agent's state folder."""
    upstream_timestamp: Short | None = None
    """The source's own timestamp, as it wrote it."""
    origin: Origin = Origin.LIVE
    note: Short | None = None
    """A caveat: "vintage: recorded later"."""


class Legislation(Frozen):
    """One bill, as known at a time."""

    bill_id: Annotated[str, Field(pattern=r"^\d{1,3}-[a-z]+-\d+$")]
    """Congress, type, number: "113-hjres-59"."""
    title: Text
    stage: Literal[
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


def canonical_json(value: Any) -> bytes:
    """Give JSON that is the same bytes on every machine: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


_MESSAGE_ID = re.compile(r"^[A-Za-z0-9_.:-]{1,128}$")


class ContextMessage(Frozen):
    """The envelope that agents exchange over MCP.

    ``context`` is kept as JSON, normalised by its topic's type; :meth:`typed` gives the model.
    Where ``topic`` is absent the hub resolves it (:meth:`resolved`) from the sender's registration.
    """

    protocol: Literal["MCP"] = "MCP"
    version: Literal["1.0"] = "1.0"
    timestamp: AwareDatetime
    """When the sender wrote it."""
    source_agent: Name
    target_agent: Annotated[str, Field(pattern=r"^(\*|[A-Za-z][A-Za-z0-9_.-]{0,63})$")] | None = (
        None
    )
    """One agent's name; absent or "*" is everybody."""
    context: dict[str, JsonValue]
    message_id: Annotated[str, Field(pattern=_MESSAGE_ID.pattern)] | None = None
    """Idempotency: the same id twice is stored once, with another body it is refused."""
    topic: Topic | None = None
    observed_at: AwareDatetime | None = None
    """What the data is about: the end of the period or the moment observed."""
    known_at: AwareDatetime | None = None
    """When its source could serve it; the time of receipt where absent."""
    expires_at: AwareDatetime | None = None
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _normalise(self) -> Self:
        if self.topic is not None and self.topic in CONTEXT_TYPES:
            typed = CONTEXT_TYPES[self.topic].model_validate(self.context)
            normal = typed.model_dump(mode="json", exclude_unset=True)
            object.__setattr__(self, "context", normal)
        if len(canonical_json(self.context)) > MAX_CONTEXT_BYTES:
            raise ValueError(f"context is larger than {MAX_CONTEXT_BYTES} bytes; send a summary")
        if self.expires_at and self.known_at and self.expires_at <= self.known_at:
            raise ValueError("expires_at is not after known_at")
        return self

    @classmethod
    def parse(cls, value: Any) -> "ContextMessage":
        """Read a message from decoded JSON.

        Raises:
            InvalidMessage: with one short line per wrong field.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidMessage(explain(error)) from error

    def typed(self) -> Frozen | None:
        """Give the context as its topic's model; None for a note or an unresolved topic."""
        if self.topic is None or self.topic is Topic.NOTE:
            return None
        return CONTEXT_TYPES[self.topic].model_validate(self.context)

    def resolved(self, *, topic: Topic, known_at: datetime, message_id: str) -> "ContextMessage":
        """Fill what the sender left out, and validate the context against its topic.

        Raises:
            InvalidMessage: the context does not fit the topic.
        """
        fields = self.model_dump(mode="json", exclude_unset=True)
        fields["topic"] = (self.topic or topic).value
        fields.setdefault("known_at", iso(known_at))
        fields.setdefault("message_id", message_id)
        return ContextMessage.parse(fields)

    def content_digest(self) -> str:
        """Give the SHA-256, in hex, of what the message says.

        Who says it to whom, on what topic, about when, known when, until when, and the context; not
        the id, the time of writing or the evidence, so that saying the same again is the same.
        """
        # By hand: a fold digests hundreds of messages, and model_dump takes twice as long.
        says = {
            "source_agent": self.source_agent,
            "target_agent": self.target_agent or BROADCAST,
            "topic": self.topic,
            "observed_at": _as_written(self.observed_at),
            "known_at": _as_written(self.known_at),
            "expires_at": _as_written(self.expires_at),
            "context": self.context,
        }
        return hashlib.sha256(canonical_json(says)).hexdigest()


def explain(error: ValidationError, limit: int = 8) -> str:
    """Put a validation error into short lines: place, what is wrong, what was given."""
    lines = []
    for item in error.errors(include_url=False)[:limit]:
        place = ".".join(str(part) for part in item["loc"]) or "message"
        given = "" if item["type"] == "missing" else f" (got {_shown(item['input'])!r})"
        lines.append(f"{place}: {item['msg']}{given}")
    hidden = error.error_count() - limit
    return "; ".join(lines) + (f"; and {hidden} more" if hidden > 0 else "")


def _as_written(moment: datetime | None) -> str | None:
    """Write a time as pydantic does: in its own zone, UTC as Z."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _shown(value: Any) -> str:
    try:
        return str(value)[:60]
    except ValueError:  # an integer of more digits than Python writes
        return type(value).__name__


def iso(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC, ending with Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Quality(StrEnum):
    """Whether a feature's value may be used."""

    OK = "ok"
    STALE = "stale"
    MISSING = "missing"
    IMPUTED = "imputed"


class FeatureProvenance(Frozen):
    """Where one feature's value comes from. A stale value is shown here and masked elsewhere."""

    value: float | str | None = None
    previous: float | str | None = None
    """The same feature from the observations before."""
    observed_at: AwareDatetime | None = None
    known_at: AwareDatetime | None = None
    message_ids: tuple[str, ...] = ()
    quality: Quality = Quality.MISSING
    source: str = ""
    origin: Origin | None = None
    note: str = ""


class ScheduledEvent(Frozen):
    """A dated event ahead."""

    kind: Literal["earnings", "macro"]
    name: Short
    at: AwareDatetime


class SymbolContext(Frozen):
    """What is known about one symbol."""

    news_sentiment: float | None = None
    options_flow_sentiment: float | None = None
    insider_trading_signal: float | None = None
    events: tuple[ScheduledEvent, ...] = ()


class DailyContext(Frozen):
    """The numbers of one trading day as of one moment. Absent is not zero."""

    legislative_risk_score: float | None = None
    pending_bills: tuple[str, ...] = ()
    regulatory_change_probability: float | None = None
    fed_funds_rate: float | None = None
    yield_curve_slope: float | None = None
    real_interest_rate: float | None = None
    fed_stance: Literal["hawkish", "neutral", "dovish"] | None = None
    credit_spread: float | None = None
    high_yield_spread: float | None = None
    inflation_expectation: float | None = None
    dollar_index: float | None = None
    unemployment_trend: float | None = None
    news_sentiment: float | None = None
    options_flow_sentiment: float | None = None
    insider_trading_signal: float | None = None
    sector_scores: dict[str, float] = {}
    as_of: AwareDatetime
    trading_date: date
    context_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    fold_version: int
    head: int
    """The journal sequence that the fold read up to."""
    extra: dict[str, float] = {}
    """Further numeric features by name ("vix", "credit_spread_delta"), only where quality is ok."""
    provenance: dict[str, FeatureProvenance]
    """One entry for each of the sixteen fields (but ``pending_bills``) and each further feature."""
    symbols: dict[str, SymbolContext] = {}
    events: tuple[ScheduledEvent, ...] = ()

    def canonical_bytes(self) -> bytes:
        """Give the bytes that are the same wherever the same messages were folded."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def short_id(self) -> int:
        """The first 8 bytes of the digest as an unsigned integer: ``context_id`` of a signal."""
        return int(self.context_id[:16], 16)


FLOAT_FEATURES: tuple[str, ...] = (
    "legislative_risk_score",
    "regulatory_change_probability",
    "fed_funds_rate",
    "yield_curve_slope",
    "real_interest_rate",
    "credit_spread",
    "high_yield_spread",
    "inflation_expectation",
    "dollar_index",
    "unemployment_trend",
    "news_sentiment",
    "options_flow_sentiment",
    "insider_trading_signal",
)
"""The float fields of ``DailyContext``, in its order."""

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
