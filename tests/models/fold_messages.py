"""Messages to fold: short makers with sensible times."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from relentless.models.fold_rates import SERIES
from relentless.proto.contexts import AGENT_TOPICS, Topic
from relentless.proto.messages import ContextMessage

AS_OF = datetime(2013, 10, 7, 9, 30, tzinfo=UTC)
TRADING_DATE = date(2013, 10, 7)
_OWNERS = {topic: agent for agent, topic in AGENT_TOPICS.items()}


def say(
    topic: Topic,
    context: dict[str, Any],
    *,
    known_h: float = 10.0,
    observed_h: float | None = None,
    **envelope: Any,
) -> ContextMessage:
    """Write a message known so many hours before ``AS_OF``; its id is made of its content."""
    known_at = AS_OF - timedelta(hours=known_h)
    observed_at = AS_OF - timedelta(hours=known_h + 24 if observed_h is None else observed_h)
    fields: dict[str, Any] = {
        "timestamp": known_at,
        "source_agent": _OWNERS[topic],
        "topic": topic,
        "known_at": known_at,
        "observed_at": observed_at,
        "context": context,
    }
    message = ContextMessage(**(fields | envelope))
    if message.message_id is None:
        message = message.model_copy(update={"message_id": message.content_digest()[:32]})
    return message


def rate(series: str, value: float = 1.0, **more: Any) -> ContextMessage:
    """Write an observation; ``known_h`` and the like go to the envelope."""
    envelope = {k: more.pop(k) for k in list(more) if k in ENVELOPE}
    return say(Topic.RATES, {"series_id": series, "value": value, **more}, **envelope)


def bill(number: int, stage: str = "introduced", **more: Any) -> ContextMessage:
    """Write a House bill of the 113th Congress."""
    envelope = {k: more.pop(k) for k in list(more) if k in ENVELOPE}
    context = {
        "bill_id": f"113-hr-{number}",
        "title": "Making appropriations.",
        "stage": stage,
        "latest_action_date": "2013-10-01",
        "categories": ["finance"],
        "sectors_affected": ["Financials"],
    }
    return say(Topic.LEGISLATION, context | more, **envelope)


ENVELOPE = {"known_h", "observed_h", "expires_at", "target_agent", "source_agent", "evidence"}

FULL = {
    "DFF": {"value": 0.08, "previous": 0.07},
    "DFEDTARU": {"value": 0.25, "previous": 0.25},
    "DFEDTARL": {"value": 0.0, "previous": 0.0},
    "CPILFESL": {"value": 234.3, "change_12m_pct": 1.78, "previous_change_12m_pct": 1.7},
    "CPIAUCSL": {"value": 233.9, "change_12m_pct": 1.54, "previous_change_12m_pct": 1.89},
    "UNRATE": {"value": 7.2, "previous": 7.3, "change_3m": -0.3, "previous_change_3m": -0.2},
}


def full_rates() -> list[ContextMessage]:
    """Write one fresh observation of every series, with every measure."""
    return [
        rate(
            series,
            **{
                "value": 2.0 + index / 10,
                "previous": 1.9 + index / 10,
                "change": 0.1,
                "zscore": 0.5,
                "percentile": 0.7,
                **FULL.get(series, {}),
            },
        )
        for index, series in enumerate(SERIES)
    ]


Numbered = list[tuple[int, ContextMessage]]


def numbered(messages: list[ContextMessage]) -> Numbered:
    """Give messages their journal sequences, from 1."""
    return list(enumerate(messages, start=1))
