"""A daily context survives protobuf: exactly, but for what the wire holds as 32-bit floats."""

import struct
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.contexts import Origin
from relentless.proto.convert import from_proto, parse, to_proto
from relentless.proto.daily import (
    FLOAT_FEATURES,
    DailyContext,
    FeatureProvenance,
    Quality,
    ScheduledEvent,
    SymbolContext,
)
from relentless.proto.errors import InvalidInput

numbers = st.floats(-1e9, 1e9)
narrow = st.floats(-1, 1, width=32)
moments = st.integers(1, 4_000_000_000_000_000).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
values = st.none() | numbers | words
events = st.lists(
    st.builds(
        ScheduledEvent,
        kind=st.sampled_from(["earnings", "macro"]),
        name=words,
        at=moments,
        importance=st.none() | st.sampled_from(["high", "medium", "low"]),
        in_trading_days=st.none() | st.integers(0, 400),
    ),
    max_size=3,
).map(tuple)
provenance = st.builds(
    FeatureProvenance,
    value=values,
    previous=values,
    observed_at=st.none() | moments,
    known_at=st.none() | moments,
    message_ids=st.lists(words, max_size=3).map(tuple),
    quality=st.sampled_from(Quality),
    source=st.just("") | words,
    origin=st.none() | st.sampled_from(Origin),
    note=st.just("") | words,
)
symbol = st.builds(
    SymbolContext,
    news_sentiment=st.none() | narrow,
    options_flow_sentiment=st.none() | narrow,
    insider_trading_signal=st.none() | narrow,
    events=events,
)


@st.composite
def contexts(draw):
    """Draw contexts as the fold makes them: a field is its provenance's value, or absent."""
    said = draw(st.dictionaries(st.sampled_from(FLOAT_FEATURES), provenance))
    said |= draw(st.dictionaries(words, provenance, max_size=3))
    fields = {
        name: said[name].value
        for name in FLOAT_FEATURES
        if name in said and isinstance(said[name].value, float) and draw(st.booleans())
    }
    return DailyContext(
        **fields,
        pending_bills=draw(st.lists(words, max_size=3).map(tuple)),
        fed_stance=draw(st.sampled_from([None, "hawkish", "neutral", "dovish"])),
        sector_scores=draw(st.dictionaries(words, narrow, max_size=3)),
        as_of=draw(moments),
        trading_date=draw(st.dates(date(1990, 1, 1))),
        context_id=draw(st.binary(min_size=32, max_size=32)).hex(),
        fold_version=draw(st.integers(0, 2**32 - 1)),
        head=draw(st.integers(0, 2**63 - 1)),
        extra=draw(st.dictionaries(words, numbers, max_size=3)),
        provenance=said,
        symbols=draw(st.dictionaries(words, symbol, max_size=2)),
        events=draw(events),
    )


@settings(max_examples=100, deadline=None)
@given(contexts())
def test_there_and_back_is_the_same_context(context):
    message = to_proto(context)
    assert from_proto(message) == context
    assert parse(message.SerializeToString()).canonical_bytes() == context.canonical_bytes()


def minimal(**more):
    fields = {"as_of": datetime(2013, 10, 7, tzinfo=UTC), "trading_date": date(2013, 10, 7)}
    fields |= {"context_id": "ab" * 32, "fold_version": 1, "head": 3, "provenance": {}}
    return DailyContext(**(fields | more))


def test_a_value_without_provenance_is_what_32_bits_hold():
    back = from_proto(to_proto(minimal(credit_spread=1.54, sector_scores={"Energy": 0.1})))
    assert back.credit_spread == struct.unpack("f", struct.pack("f", 1.54))[0]
    assert back.sector_scores["Energy"] == pytest.approx(0.1, rel=1e-7)


def test_absent_is_not_zero():
    message = to_proto(minimal(fed_funds_rate=0.0))
    assert message.HasField("fed_funds_rate") and not message.HasField("credit_spread")
    back = from_proto(message)
    assert (back.fed_funds_rate, back.credit_spread, back.fed_stance) == (0.0, None, None)


@pytest.mark.parametrize("field", ["trading_date", "context_id", "fed_stance"])
def test_a_field_that_breaks_the_contract_is_a_typed_error(field):
    message = to_proto(minimal())
    setattr(message, field, b"short" if field == "context_id" else "nonsense")
    with pytest.raises(InvalidInput, match="no daily context"):
        from_proto(message)


def test_bytes_that_are_no_message_are_a_typed_error():
    with pytest.raises(InvalidInput, match="not its protobuf"):
        parse(b"\xff\xff\xff")
