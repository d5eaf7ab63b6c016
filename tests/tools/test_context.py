"""What of a daily context is answered."""

from datetime import UTC, date, datetime

import pytest

from relentless.proto.daily import DailyContext, FeatureProvenance, Quality
from relentless.proto.errors import InvalidInput
from relentless.tools.context import answer

CONTEXT = DailyContext(
    fed_funds_rate=0.08,
    as_of=datetime(2013, 10, 7, 9, 30, tzinfo=UTC),
    trading_date=date(2013, 10, 7),
    context_id="ab" * 32,
    fold_version=1,
    head=7,
    extra={"vix": 19.4},
    provenance={
        "fed_funds_rate": FeatureProvenance(value=0.08, quality=Quality.OK),
        "credit_spread": FeatureProvenance(value=1.4, quality=Quality.STALE),
    },
)


def test_the_values_come_without_provenance_by_default_and_say_what_is_flagged() -> None:
    said = answer(CONTEXT, None)
    assert said.context["fed_funds_rate"] == 0.08
    assert said.context["extra"] == {"vix": 19.4}
    assert not {"provenance", "symbols", "events"} & set(said.context)
    assert said.flagged == {"credit_spread": Quality.STALE}
    assert said.trust.startswith("untrusted")


def test_the_whole_reads_back_as_the_same_context() -> None:
    assert DailyContext.model_validate(answer(CONTEXT, ["*"]).context) == CONTEXT


def test_chosen_fields_come_with_the_contexts_identity() -> None:
    said = answer(CONTEXT, ["vix", "credit_spread"]).context
    assert said == {
        "context_id": "ab" * 32,
        "trading_date": "2013-10-07",
        "as_of": "2013-10-07T09:30:00Z",
        "vix": 19.4,
        "credit_spread": None,
    }


def test_an_unknown_field_names_those_that_are() -> None:
    with pytest.raises(InvalidInput, match="fed_funds_rate"):
        answer(CONTEXT, ["nonsense"])
