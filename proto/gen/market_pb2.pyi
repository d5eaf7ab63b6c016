from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MarketTick(_message.Message):
    __slots__ = ("timestamp", "symbol", "price", "volume", "bid", "ask", "technical_indicators")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    BID_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    TECHNICAL_INDICATORS_FIELD_NUMBER: _ClassVar[int]
    timestamp: int
    symbol: str
    price: float
    volume: int
    bid: float
    ask: float
    technical_indicators: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, timestamp: _Optional[int] = ..., symbol: _Optional[str] = ..., price: _Optional[float] = ..., volume: _Optional[int] = ..., bid: _Optional[float] = ..., ask: _Optional[float] = ..., technical_indicators: _Optional[_Iterable[float]] = ...) -> None: ...

class TradingSignal(_message.Message):
    __slots__ = ("timestamp", "symbol_id", "action", "confidence", "price_target", "stop_loss", "position_size", "risk_score", "urgency", "strategy_id", "sequence", "context_id", "model_version", "flags", "symbol", "refused")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    PRICE_TARGET_FIELD_NUMBER: _ClassVar[int]
    STOP_LOSS_FIELD_NUMBER: _ClassVar[int]
    POSITION_SIZE_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_FIELD_NUMBER: _ClassVar[int]
    URGENCY_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    timestamp: int
    symbol_id: int
    action: int
    confidence: float
    price_target: float
    stop_loss: float
    position_size: float
    risk_score: int
    urgency: int
    strategy_id: int
    sequence: int
    context_id: int
    model_version: int
    flags: int
    symbol: str
    refused: str
    def __init__(self, timestamp: _Optional[int] = ..., symbol_id: _Optional[int] = ..., action: _Optional[int] = ..., confidence: _Optional[float] = ..., price_target: _Optional[float] = ..., stop_loss: _Optional[float] = ..., position_size: _Optional[float] = ..., risk_score: _Optional[int] = ..., urgency: _Optional[int] = ..., strategy_id: _Optional[int] = ..., sequence: _Optional[int] = ..., context_id: _Optional[int] = ..., model_version: _Optional[int] = ..., flags: _Optional[int] = ..., symbol: _Optional[str] = ..., refused: _Optional[str] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("ticks",)
    TICKS_FIELD_NUMBER: _ClassVar[int]
    ticks: _containers.RepeatedCompositeFieldContainer[MarketTick]
    def __init__(self, ticks: _Optional[_Iterable[_Union[MarketTick, _Mapping]]] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("signals",)
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    signals: _containers.RepeatedCompositeFieldContainer[TradingSignal]
    def __init__(self, signals: _Optional[_Iterable[_Union[TradingSignal, _Mapping]]] = ...) -> None: ...

class TickBatch(_message.Message):
    __slots__ = ("ticks",)
    TICKS_FIELD_NUMBER: _ClassVar[int]
    ticks: bytes
    def __init__(self, ticks: _Optional[bytes] = ...) -> None: ...

class SignalBatch(_message.Message):
    __slots__ = ("frames", "reasons")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    frames: bytes
    reasons: bytes
    def __init__(self, frames: _Optional[bytes] = ..., reasons: _Optional[bytes] = ...) -> None: ...

class RiskRequest(_message.Message):
    __slots__ = ("session", "next_sequence")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session: str
    next_sequence: int
    def __init__(self, session: _Optional[str] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("session", "sequence")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session: str
    sequence: int
    def __init__(self, session: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("features", "heads", "model_version")
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    features: _containers.RepeatedScalarFieldContainer[float]
    heads: _containers.RepeatedScalarFieldContainer[float]
    model_version: int
    def __init__(self, features: _Optional[_Iterable[float]] = ..., heads: _Optional[_Iterable[float]] = ..., model_version: _Optional[int] = ...) -> None: ...
