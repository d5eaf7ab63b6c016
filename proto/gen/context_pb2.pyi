from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_UNSPECIFIED: _ClassVar[Quality]
    QUALITY_OK: _ClassVar[Quality]
    QUALITY_STALE: _ClassVar[Quality]
    QUALITY_MISSING: _ClassVar[Quality]
    QUALITY_IMPUTED: _ClassVar[Quality]
QUALITY_UNSPECIFIED: Quality
QUALITY_OK: Quality
QUALITY_STALE: Quality
QUALITY_MISSING: Quality
QUALITY_IMPUTED: Quality

class FeatureProvenance(_message.Message):
    __slots__ = ("value", "previous", "text", "observed_at_ns", "known_at_ns", "message_ids", "quality", "source", "origin", "note", "previous_text")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_NS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_AT_NS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TEXT_FIELD_NUMBER: _ClassVar[int]
    value: float
    previous: float
    text: str
    observed_at_ns: int
    known_at_ns: int
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    quality: Quality
    source: str
    origin: str
    note: str
    previous_text: str
    def __init__(self, value: _Optional[float] = ..., previous: _Optional[float] = ..., text: _Optional[str] = ..., observed_at_ns: _Optional[int] = ..., known_at_ns: _Optional[int] = ..., message_ids: _Optional[_Iterable[str]] = ..., quality: _Optional[_Union[Quality, str]] = ..., source: _Optional[str] = ..., origin: _Optional[str] = ..., note: _Optional[str] = ..., previous_text: _Optional[str] = ...) -> None: ...

class ScheduledEvent(_message.Message):
    __slots__ = ("kind", "name", "at_ns", "importance", "in_trading_days")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    IN_TRADING_DAYS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    at_ns: int
    importance: str
    in_trading_days: int
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., at_ns: _Optional[int] = ..., importance: _Optional[str] = ..., in_trading_days: _Optional[int] = ...) -> None: ...

class SymbolContext(_message.Message):
    __slots__ = ("news_sentiment", "options_flow_sentiment", "insider_trading_signal", "events")
    NEWS_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FLOW_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    INSIDER_TRADING_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    news_sentiment: float
    options_flow_sentiment: float
    insider_trading_signal: float
    events: _containers.RepeatedCompositeFieldContainer[ScheduledEvent]
    def __init__(self, news_sentiment: _Optional[float] = ..., options_flow_sentiment: _Optional[float] = ..., insider_trading_signal: _Optional[float] = ..., events: _Optional[_Iterable[_Union[ScheduledEvent, _Mapping]]] = ...) -> None: ...

class DailyContext(_message.Message):
    __slots__ = ("legislative_risk_score", "pending_bills", "regulatory_change_probability", "fed_funds_rate", "yield_curve_slope", "real_interest_rate", "fed_stance", "credit_spread", "high_yield_spread", "inflation_expectation", "dollar_index", "unemployment_trend", "news_sentiment", "options_flow_sentiment", "insider_trading_signal", "sector_scores", "as_of_ns", "trading_date", "context_id", "fold_version", "head", "extra", "provenance", "symbols", "events")
    class SectorScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ExtraEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ProvenanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureProvenance
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureProvenance, _Mapping]] = ...) -> None: ...
    class SymbolsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: SymbolContext
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[SymbolContext, _Mapping]] = ...) -> None: ...
    LEGISLATIVE_RISK_SCORE_FIELD_NUMBER: _ClassVar[int]
    PENDING_BILLS_FIELD_NUMBER: _ClassVar[int]
    REGULATORY_CHANGE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FED_FUNDS_RATE_FIELD_NUMBER: _ClassVar[int]
    YIELD_CURVE_SLOPE_FIELD_NUMBER: _ClassVar[int]
    REAL_INTEREST_RATE_FIELD_NUMBER: _ClassVar[int]
    FED_STANCE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_SPREAD_FIELD_NUMBER: _ClassVar[int]
    HIGH_YIELD_SPREAD_FIELD_NUMBER: _ClassVar[int]
    INFLATION_EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    DOLLAR_INDEX_FIELD_NUMBER: _ClassVar[int]
    UNEMPLOYMENT_TREND_FIELD_NUMBER: _ClassVar[int]
    NEWS_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FLOW_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    INSIDER_TRADING_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    SECTOR_SCORES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_NS_FIELD_NUMBER: _ClassVar[int]
    TRADING_DATE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ID_FIELD_NUMBER: _ClassVar[int]
    FOLD_VERSION_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    legislative_risk_score: float
    pending_bills: _containers.RepeatedScalarFieldContainer[str]
    regulatory_change_probability: float
    fed_funds_rate: float
    yield_curve_slope: float
    real_interest_rate: float
    fed_stance: str
    credit_spread: float
    high_yield_spread: float
    inflation_expectation: float
    dollar_index: float
    unemployment_trend: float
    news_sentiment: float
    options_flow_sentiment: float
    insider_trading_signal: float
    sector_scores: _containers.ScalarMap[str, float]
    as_of_ns: int
    trading_date: str
    context_id: bytes
    fold_version: int
    head: int
    extra: _containers.ScalarMap[str, float]
    provenance: _containers.MessageMap[str, FeatureProvenance]
    symbols: _containers.MessageMap[str, SymbolContext]
    events: _containers.RepeatedCompositeFieldContainer[ScheduledEvent]
    def __init__(self, legislative_risk_score: _Optional[float] = ..., pending_bills: _Optional[_Iterable[str]] = ..., regulatory_change_probability: _Optional[float] = ..., fed_funds_rate: _Optional[float] = ..., yield_curve_slope: _Optional[float] = ..., real_interest_rate: _Optional[float] = ..., fed_stance: _Optional[str] = ..., credit_spread: _Optional[float] = ..., high_yield_spread: _Optional[float] = ..., inflation_expectation: _Optional[float] = ..., dollar_index: _Optional[float] = ..., unemployment_trend: _Optional[float] = ..., news_sentiment: _Optional[float] = ..., options_flow_sentiment: _Optional[float] = ..., insider_trading_signal: _Optional[float] = ..., sector_scores: _Optional[_Mapping[str, float]] = ..., as_of_ns: _Optional[int] = ..., trading_date: _Optional[str] = ..., context_id: _Optional[bytes] = ..., fold_version: _Optional[int] = ..., head: _Optional[int] = ..., extra: _Optional[_Mapping[str, float]] = ..., provenance: _Optional[_Mapping[str, FeatureProvenance]] = ..., symbols: _Optional[_Mapping[str, SymbolContext]] = ..., events: _Optional[_Iterable[_Union[ScheduledEvent, _Mapping]]] = ...) -> None: ...
