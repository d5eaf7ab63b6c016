"""The legislative scores: bounded, ordered, and monotone in everything that should raise them."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.models.legislation import (
    CATEGORY_WEIGHT,
    MAX_PENDING,
    STAGE_LAW_RATE,
    number_order,
    read_bill,
    relevance,
    risk_score,
    rule_change_probability,
    sector_scores,
)
from relentless.proto.daily import Quality

from .fold_messages import AS_OF, bill

TODAY = date(2013, 10, 7)
STAGES = sorted(STAGE_LAW_RATE, key=lambda stage: STAGE_LAW_RATE[stage])
CATEGORIES = sorted(CATEGORY_WEIGHT, key=lambda name: CATEGORY_WEIGHT[name])

contexts = st.fixed_dictionaries(
    {
        "bill_id": st.integers(1, 9_999).map("113-hr-{}".format),
        "stage": st.sampled_from(STAGES),
        "latest_action_date": st.integers(0, 600).map(lambda n: str(TODAY - timedelta(days=n))),
        "categories": st.lists(st.sampled_from(CATEGORIES), min_size=1, unique=True),
        "sectors_affected": st.lists(st.sampled_from(["Energy", "Financials"]), unique=True),
    }
)


def scores(said):
    bills = [read_bill(context, TODAY) for context in said]
    return (risk_score(bills), rule_change_probability(bills), sector_scores(bills))


def not_lower(before, after):
    assert after[0] >= before[0] - 1e-12 and after[1] >= before[1] - 1e-12
    assert all(after[2][sector] >= score - 1e-12 for sector, score in before[2].items())


@settings(max_examples=100, deadline=None)
@given(st.lists(contexts, max_size=30), contexts, st.data())
def test_more_bills_later_stages_newer_actions_and_weightier_categories_never_lower(
    others, one, data
):
    before = scores([*others, one])
    assert all(0 <= value <= 1 for value in (*before[:2], *before[2].values()))
    not_lower(scores(others), before)
    later = data.draw(st.sampled_from(STAGES[STAGES.index(one["stage"]) :]))
    not_lower(before, scores([*others, one | {"stage": later}]))
    newer = data.draw(st.dates(date.fromisoformat(one["latest_action_date"]), TODAY))
    not_lower(before, scores([*others, one | {"latest_action_date": str(newer)}]))
    added = data.draw(st.sampled_from(CATEGORIES))
    not_lower(before, scores([*others, one | {"categories": [*one["categories"], added]}]))


def test_a_stated_likelihood_replaces_the_rate_of_the_stage():
    said = {"bill_id": "113-hr-1", "stage": "introduced", "latest_action_date": str(TODAY)}
    said["categories"] = ["finance"]
    assert read_bill(said, TODAY).weight == 0.03
    assert read_bill(said | {"likelihood_pass": 0.5}, TODAY).weight == 0.5


@pytest.mark.parametrize("stage", ["law", "vetoed", "failed"])
def test_what_is_pending_no_longer_has_no_weight(stage):
    assert relevance(stage, TODAY, ["finance"], TODAY) is None


def test_numbers_are_ordered_as_numbers():
    ids = ["113-s-2", "113-hr-10", "113-hjres-1", "113-hr-9", "112-sjres-1"]
    assert sorted(ids, key=number_order) == [
        *("112-sjres-1", "113-hr-9", "113-hr-10", "113-s-2", "113-hjres-1"),
    ]
    with pytest.raises(ValueError, match="not a bill id"):
        number_order("hr 59")


def test_at_most_fifty_bills_are_named_the_heaviest_first(folded):
    messages = [bill(n, latest_action_date=f"2013-09-{1 + n % 30:02}") for n in range(1, 80)]
    context = folded([*messages, bill(99, "passed_both")])
    assert len(context.pending_bills) == MAX_PENDING
    assert context.pending_bills[0] == "113-hr-99"
    assert context.pending_bills[1] == "113-hr-29"


def test_bills_that_nobody_repeats_expire_and_their_features_turn_stale(folded):
    context = folded([bill(1, "passed_house", expires_at=AS_OF)])
    for name in ("legislative_risk_score", "regulatory_change_probability", "sector_scores"):
        assert context.provenance[name].quality is Quality.STALE
    assert context.legislative_risk_score is None
    assert (context.pending_bills, context.sector_scores) == ((), {})
    assert context.provenance["legislative_risk_score"].value > 0


def test_an_expired_bill_does_not_count_beside_a_living_one(folded):
    living = folded([bill(1)])
    both = folded([bill(1), bill(2, "passed_both", expires_at=AS_OF)])
    assert both.legislative_risk_score == living.legislative_risk_score
    assert both.context_id == living.context_id
