"""The context message: what is accepted, what is refused, and what makes two the same."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.proto.base import canonical_json
from relentless.proto.contexts import AGENT_TOPICS, CONTEXT_TYPES, HUB_TOPICS, News, Topic
from relentless.proto.daily import FLOAT_FEATURES, DailyContext
from relentless.proto.errors import InvalidMessage
from relentless.proto.messages import MAX_CONTEXT_BYTES, ContextMessage

EXAMPLE: dict[str, Any] = {
    "protocol": "MCP",
    "version": "1.0",
    "timestamp": "2025-09-27T10:30:00Z",
    "source_agent": "NewsAnalysisAgent",
    "target_agent": "TradingAgent",
    "context": {
        "asset": "AAPL",
        "sentiment": "positive",
        "confidence": 0.85,
        "summary": "Strong iPhone sales reported",
    },
}
NOW = datetime(2025, 9, 27, 10, 31, tzinfo=UTC)


def resolved(**changes: Any) -> ContextMessage:
    message = ContextMessage.parse({**EXAMPLE, **changes})
    return message.resolved(topic=Topic.NEWS, known_at=NOW, message_id="m1")


def test_the_example_is_accepted_as_it_stands() -> None:
    message = ContextMessage.parse(EXAMPLE)
    assert message.model_dump(mode="json", exclude_unset=True) == EXAMPLE
    assert resolved().typed() == News(**EXAMPLE["context"])


def test_resolving_fills_only_what_the_sender_left_out() -> None:
    message = resolved()
    assert (message.topic, message.known_at, message.message_id) == (Topic.NEWS, NOW, "m1")
    told = resolved(topic="note", known_at="2025-09-27T10:00:00Z", message_id="own")
    assert (told.topic, told.message_id) == (Topic.NOTE, "own")
    assert told.known_at == datetime(2025, 9, 27, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"protocol": "HTTP"}, "protocol"),
        ({"version": "2.0"}, "version"),
        ({"timestamp": "2025-09-27T10:30:00"}, "timestamp"),
        ({"source_agent": ""}, "source_agent"),
        ({"source_agent": "a b"}, "source_agent"),
        ({"target_agent": "x" * 65}, "target_agent"),
        ({"message_id": "white space"}, "message_id"),
        ({"topic": "weather"}, "topic"),
        ({"surprise": 1}, "surprise"),
        ({"context": []}, "context"),
        ({"topic": "news", "context": {**EXAMPLE["context"], "mood": "good"}}, "mood"),
        ({"topic": "news", "context": {**EXAMPLE["context"], "confidence": 1.5}}, "confidence"),
        ({"topic": "news", "context": {**EXAMPLE["context"], "asset": "apple"}}, "asset"),
        ({"topic": "news", "context": {"asset": "AAPL"}}, "sentiment"),
        ({"context": {"text": "x" * MAX_CONTEXT_BYTES}}, "larger than"),
        (
            {"known_at": "2025-09-27T10:30:00Z", "expires_at": "2025-09-27T10:30:00Z"},
            "expires_at",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused_by_its_place(
    change: dict[str, Any], place: str
) -> None:
    with pytest.raises(InvalidMessage, match=place) as refused:
        ContextMessage.parse({**EXAMPLE, **change})
    assert len(str(refused.value)) < 600 and "http" not in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused_everywhere(value: float) -> None:
    with pytest.raises(InvalidMessage):
        ContextMessage.parse(
            {**EXAMPLE, "topic": "news", "context": {**EXAMPLE["context"], "confidence": value}}
        )
    with pytest.raises((InvalidMessage, ValueError)):
        ContextMessage.parse({**EXAMPLE, "context": {"anything": value}})


def test_the_digest_is_of_what_is_said_and_not_of_when_or_how_it_was_written() -> None:
    one = resolved()
    again = resolved(
        timestamp="2025-09-27T11:00:00Z",
        message_id="another",
        evidence=[{"source": "a wire", "sha256": "ab" * 32}],
    )
    assert one.content_digest() == again.content_digest()
    for change in (
        {"target_agent": None},
        {"topic": "note"},
        {"known_at": "2025-09-27T10:29:00Z"},
        {"observed_at": "2025-09-27T10:29:00Z"},
        {"expires_at": "2025-10-27T10:29:00Z"},
        {"context": {**EXAMPLE["context"], "confidence": 0.86}},
    ):
        assert resolved(**change).content_digest() != one.content_digest(), change


def test_nobody_in_particular_is_everybody() -> None:
    assert (
        resolved(target_agent=None).content_digest() == resolved(target_agent="*").content_digest()
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=6))
def test_a_note_carries_any_json_and_survives_the_wire(context: dict[str, Any]) -> None:
    message = ContextMessage.parse({**EXAMPLE, "topic": "note", "context": context})
    wire = message.model_dump_json(exclude_none=True)
    assert ContextMessage.parse(json.loads(wire)) == message
    assert ContextMessage.parse(json.loads(wire)).content_digest() == message.content_digest()


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=6))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical_json(turned) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value


def test_every_topic_but_the_note_has_one_type_and_every_agent_one_topic() -> None:
    assert set(CONTEXT_TYPES) == set(Topic) - {Topic.NOTE}
    assert len(set(AGENT_TOPICS.values())) == len(AGENT_TOPICS) == 8
    assert not HUB_TOPICS & set(AGENT_TOPICS.values())


def test_the_sixteen_fields_stand_in_their_order_with_their_numbers() -> None:
    from relentless.proto.gen import context_pb2

    wire = context_pb2.DailyContext.DESCRIPTOR.fields
    first = [field.name for field in sorted(wire, key=lambda field: field.number)[:16]]
    assert [field.number for field in sorted(wire, key=lambda f: f.number)[:16]] == [*range(1, 17)]
    assert list(DailyContext.model_fields)[:16] == first
    floats = [field for field in wire if field.name in FLOAT_FEATURES]
    assert len(floats) == 13 and all(field.has_presence for field in floats)
