"""The daily context: sixteen fields, further features, and where each comes from. Pure, no I/O."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from relentless.proto.base import Frozen, Short, canonical_json
from relentless.proto.contexts import Origin


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
    importance: Literal["high", "medium", "low"] | None = None
    in_trading_days: Annotated[int, Field(ge=0)] | None = None
    """Exchange sessions after the trading date, up to the event's date; None where not known."""


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
    sector_scores: dict[str, float] = Field(default_factory=dict)
    as_of: AwareDatetime
    trading_date: date
    context_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    fold_version: int
    head: int
    """The journal sequence that the fold read up to."""
    extra: dict[str, float] = Field(default_factory=dict)
    """Further numeric features by name ("vix", "credit_spread_delta"), only where quality is ok."""
    provenance: dict[str, FeatureProvenance]
    """One entry for each of the sixteen fields (but ``pending_bills``) and each further feature."""
    symbols: dict[str, SymbolContext] = Field(default_factory=dict)
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
