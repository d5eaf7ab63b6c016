"""P5: a value past its age is flagged and used nowhere, a value within it is used."""

import random
from datetime import timedelta

import pytest
from pydantic import ValidationError

from relentless.configs.freshness import Freshness, load
from relentless.models.context_vector import CONTEXT_FEATURES, CONTEXT_VECTOR, vectorise
from relentless.models.fold_rates import RATE_FEATURES, SERIES
from relentless.proto.contexts import Topic
from relentless.proto.daily import FLOAT_FEATURES, Quality

from .fold_messages import AS_OF, FULL, bill, full_rates, rate, say

TYPED = {
    "news_sentiment": (
        Topic.NEWS,
        {"asset": "IBM", "sentiment": "positive", "confidence": 0.9, "summary": "."},
    ),
    "options_flow_sentiment": (Topic.OPTIONS_FLOW, {"symbol": "IBM", "score": 0.4}),
    "insider_trading_signal": (Topic.INSIDER, {"symbol": "IBM", "score": -0.4}),
}
EVERY_MEASURE = {"previous": 1.0, "change": 0.1, "zscore": 0.5, "percentile": 0.7}


def stated(context, name):
    """Give what a context says of a feature outside the provenance."""
    if name in FLOAT_FEATURES or name == "fed_stance":
        return getattr(context, name)
    return context.extra.get(name)


def masked(context, name):
    """Tell whether the network sees nothing of a feature."""
    if name not in CONTEXT_FEATURES:
        return True
    vector = vectorise(context)
    at = CONTEXT_FEATURES.index(name)
    return vector[at] == 0 and vector[CONTEXT_VECTOR.index(f"{name}_known")] == 0


def ages(chance, limit):
    """Give an age in hours: anywhere, or a second before or after the limit."""
    if chance.random() < 0.3:
        return limit + chance.choice((-1, 1)) / 3_600
    return chance.uniform(0, 3 * limit)


@pytest.mark.promise("P5")
def test_each_series_is_used_up_to_its_age_and_flagged_after_it(folded, rules, soak):
    chance = random.Random(2_000)
    for _ in range(2_000 if soak else 300):
        series = chance.choice(SERIES)
        max_age = rules.series_max_age(series)
        limit = 24 * 365 if max_age is None else max_age / timedelta(hours=1)
        age = ages(chance, limit)
        more = {"value": 2.0, **EVERY_MEASURE, **FULL.get(series, {})}
        others = [m for m in full_rates() if m.context["series_id"] != series]
        context = folded([*others, rate(series, known_h=age, observed_h=age, **more)])
        stale = max_age is not None and age > limit
        for feature in RATE_FEATURES:
            said = context.provenance[feature.name]
            if said.value is None:
                continue
            if series in feature.series and stale:
                assert said.quality is Quality.STALE and series in said.note
                assert stated(context, feature.name) is None
                assert masked(context, feature.name)
            else:
                assert said.quality is Quality.OK
                assert stated(context, feature.name) == said.value


@pytest.mark.promise("P5")
def test_each_other_feature_is_used_up_to_its_age_and_flagged_after_it(folded, rules, soak):
    chance = random.Random(2_001)
    for _ in range(1_000 if soak else 150):
        name = chance.choice([*TYPED, "legislative_risk_score"])
        limit = rules.feature_max_age(name) / timedelta(hours=1)
        age = ages(chance, limit)
        if name in TYPED:
            topic, context = TYPED[name]
            message = say(topic, context, known_h=age)
        else:
            # the age of the newest action; when it was said again makes no difference
            message = bill(1, known_h=min(age, 5.0), observed_h=age)
        built = folded([message])
        fresh = age <= limit
        said = built.provenance[name]
        assert said.quality is (Quality.OK if fresh else Quality.STALE)
        assert said.value is not None
        assert stated(built, name) == (said.value if fresh else None)
        assert masked(built, name) is not fresh
        assert bool(built.symbols or built.pending_bills) is fresh


@pytest.mark.promise("P5")
def test_a_context_built_later_flags_what_has_aged_meanwhile(folded):
    messages = full_rates()
    assert folded(messages).fed_funds_rate == 0.08
    later = folded(messages, as_of=AS_OF + timedelta(days=5))
    assert later.fed_funds_rate is None and later.fed_stance is None
    assert later.unemployment_trend == -0.3
    assert later.provenance["fed_funds_rate"].quality is Quality.STALE


def test_a_standing_decision_does_not_age(rules):
    assert rules.series_max_age("DFEDTARU") is None


def test_a_series_that_the_table_does_not_name_is_held_to_the_shortest_age(rules):
    assert rules.series_max_age("UNHEARD_OF") == timedelta(hours=108)


def test_the_table_speaks_of_every_feature_and_series(rules):
    assert set(SERIES) == set(rules.series_max_age_h)
    assert set(rules.features) == {
        *(*FLOAT_FEATURES, "fed_stance", "sector_scores", "bills_past_a_chamber"),
    }
    assert {"fed_funds_rate", "legislative_risk_score"} <= rules.required
    with pytest.raises(KeyError, match="max_age_h"):
        rules.feature_max_age("fed_funds_rate")


def test_another_table_is_another_digest(rules, tmp_path):
    assert load().digest == rules.digest
    body = rules.model_dump(mode="json")
    assert Freshness.model_validate(body | {"horizon_days": 11}).digest != rules.digest
    with pytest.raises(ValidationError):
        Freshness.model_validate(body | {"unheard_of": 1})
    broken = tmp_path / "freshness.toml"
    broken.write_text("horizon_days = ")
    with pytest.raises(ValueError, match="Invalid"):
        load(broken)
