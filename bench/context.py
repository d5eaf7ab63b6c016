"""The daily context from 10,000 messages, against reading and hashing the same messages."""

import hashlib
from datetime import UTC, date, datetime, timedelta

from bench.harness import Figure, Section, alternate, timed
from relentless.configs import freshness
from relentless.models.fold import fold
from relentless.proto.base import canonical_json
from relentless.proto.messages import ContextMessage

MESSAGES = 10_000
AS_OF = datetime(2013, 10, 7, 13, 25, tzinfo=UTC)


def messages() -> list[tuple[int, ContextMessage]]:
    """Give bills and observations in the proportion of a busy journal; synthetic."""
    made = []
    for at in range(MESSAGES):
        known = AS_OF - timedelta(minutes=at % 4_000)
        fields: dict[str, object] = {
            "timestamp": known,
            "known_at": known,
            "observed_at": known - timedelta(days=1),
            "message_id": f"m{at}",
        }
        if at % 4 == 0:
            series = ("DGS10", "DGS2", "DFF", "T10YIE", "VIXCLS", "UNRATE")[at // 4 % 6]
            fields |= {
                "source_agent": "FredAgent",
                "topic": "rates",
                "context": {"series_id": series, "value": 2.0 + at % 7, "previous": 2.0},
            }
        else:
            fields |= {
                "source_agent": "CongressAgent",
                "topic": "legislation",
                "context": {
                    "bill_id": f"113-hr-{at % 3_000 + 1}",
                    "title": f"A bill about taxes and banking, number {at}",
                    "stage": ("introduced", "reported", "passed_house")[at % 3],
                    "latest_action_date": (known.date() - timedelta(days=at % 90)).isoformat(),
                    "categories": ["tax", "finance"],
                },
            }
        made.append((at + 1, ContextMessage.model_validate(fields)))
    return made


def section() -> Section:
    """Measure the fold."""
    every, rules = messages(), freshness.load()

    def folded() -> object:
        return fold(every, as_of=AS_OF, trading_date=date(2013, 10, 7), head=MESSAGES, rules=rules)

    def hashed() -> object:
        return [hashlib.sha256(canonical_json(message.context)) for _, message in every]

    folded()
    reference, samples = alternate(lambda: timed(hashed, 3), lambda: timed(folded, 3), 7)
    return Section(
        "Daily context",
        "The fold of 10,000 messages in the journal; the reference hashes their contexts once.",
        [
            Figure.of(
                "fold of 10,000 messages",
                samples,
                "ms",
                "hash of the same",
                reference,
                per=1e3,
            )
        ],
    )
