"""What stands, what is derived from it, and what is left out."""

from datetime import timedelta

import pytest

from relentless.models.context_vector import CONTEXT_FEATURES, vectorise
from relentless.models.fold import EXTRA_FEATURES
from relentless.models.fold_rates import RATE_FEATURES
from relentless.proto.contexts import Origin, Topic
from relentless.proto.daily import FLOAT_FEATURES, DailyContext, Quality

from .fold_messages import AS_OF, bill, full_rates, numbered, rate, say


def test_the_features_of_series_follow_their_definitions(folded):
    context = folded(full_rates())
    value = {name: context.provenance[name].value for name in context.provenance}
    assert context.fed_funds_rate == 0.08
    assert context.yield_curve_slope == pytest.approx(value["treasury_10y"] - value["treasury_2y"])
    assert context.real_interest_rate == pytest.approx(
        value["treasury_10y"] - value["inflation_expectation"]
    )
    assert context.unemployment_trend == -0.3
    assert context.provenance["unemployment_trend"].previous == -0.2
    assert context.extra["real_policy_rate"] == pytest.approx(0.08 - 1.78)
    assert context.fed_stance == "dovish"
    assert set(context.extra) == {f.name for f in RATE_FEATURES} - set(DailyContext.model_fields)


@pytest.mark.parametrize(
    ("funds", "inflation", "stance"),
    [(0.08, 1.78, "dovish"), (2.4, 2.1, "neutral"), (5.25, 2.6, "hawkish"), (0.0, -0.5, "neutral")],
)
def test_the_stance_follows_the_real_policy_rate(folded, funds, inflation, stance):
    messages = [
        rate("DFF", funds),
        rate("DFEDTARU", funds + 0.2),
        rate("DFEDTARL", max(funds - 0.05, 0.0)),
        rate("CPILFESL", 234.0, change_12m_pct=inflation),
    ]
    assert folded(messages).fed_stance == stance


def test_a_funds_rate_outside_its_range_counts_at_the_edge(folded):
    messages = [
        *(rate("DFF", 2.9), rate("DFEDTARU", 2.5), rate("DFEDTARL", 2.25)),
        rate("CPILFESL", 234.0, change_12m_pct=0.6),
    ]
    context = folded(messages)
    assert context.extra["real_policy_rate"] == pytest.approx(1.9)
    assert context.fed_stance == "neutral"


def test_known_at_is_the_latest_of_the_parts_observed_at_the_earliest_origin_the_worst(folded):
    parts = [
        rate("DGS10", 2.6, known_h=5, observed_h=30, evidence=({"source": "x", "origin": "live"},)),
        rate(
            "DGS2",
            0.3,
            known_h=9,
            observed_h=20,
            evidence=({"source": "x", "origin": "synthetic"},),
        ),
    ]
    said = folded(parts).provenance["yield_curve_slope"]
    assert said.known_at == AS_OF - timedelta(hours=5)
    assert said.observed_at == AS_OF - timedelta(hours=30)
    assert said.origin is Origin.SYNTHETIC
    assert said.message_ids == tuple(part.message_id for part in parts)


def test_a_feature_is_missing_where_one_of_its_series_is(folded):
    context = folded([rate("DGS10", 2.6)])
    assert context.yield_curve_slope is None
    assert context.provenance["yield_curve_slope"].quality is Quality.MISSING
    assert "DGS2" in context.provenance["yield_curve_slope"].note
    assert context.extra == {"treasury_10y": 2.6}


def test_a_measure_that_is_undefined_is_missing_and_not_zero(folded):
    context = folded([rate("VIXCLS", 16.0)])
    assert context.extra == {"vix": 16.0}
    assert context.provenance["vix_zscore"].quality is Quality.MISSING


def test_nothing_known_is_a_context_of_missing_features(folded):
    context = folded([])
    assert all(said.quality is Quality.MISSING for said in context.provenance.values())
    assert all(getattr(context, name) is None for name in FLOAT_FEATURES)
    assert not vectorise(context).any()
    assert len(context.provenance) == len(EXTRA_FEATURES) + len(FLOAT_FEATURES) + 2


def test_every_feature_of_the_vector_is_one_that_the_fold_makes():
    made = {*FLOAT_FEATURES, "fed_stance", *EXTRA_FEATURES}
    assert set(CONTEXT_FEATURES) <= made


def test_the_newest_period_stands_in_its_newest_vintage(folded):
    old_period_revised = rate("UNRATE", 7.4, known_h=1, observed_h=2_000)
    newest = rate("UNRATE", 7.3, known_h=500, observed_h=900)
    newest_revised = rate("UNRATE", 7.2, known_h=400, observed_h=900)
    context = folded([newest_revised, newest, old_period_revised])
    assert context.extra["unemployment_rate"] == 7.2


def test_of_equal_times_the_later_in_the_journal_stands(folded):
    context = folded([(8, rate("DFF", 0.09)), (7, rate("DFF", 0.08))])
    assert context.fed_funds_rate == 0.09


def test_a_bill_stands_as_it_was_last_known(folded):
    context = folded([bill(1, "passed_house", known_h=2), bill(1, known_h=9), bill(2, "law")])
    assert context.pending_bills == ("113-hr-1",)
    assert context.extra["bills_past_a_chamber"] == 1.0


def test_messages_known_later_or_beyond_the_head_change_nothing(folded):
    known = numbered([*full_rates(), bill(1), bill(2, "passed_house")])
    head = len(known)
    before = folded(known, head=head).canonical_bytes()
    poison = [
        *((head + 1 + n, rate("DFF", 99.0, known_h=1)) for n in range(3)),
        (3, rate("DFF", 98.0, known_h=-0.001)),
        (4, rate("UNHEARD_OF", 97.0, known_h=-5)),
        (5, bill(3, "presented", known_h=-1)),
        (head + 9, bill(1, "law", known_h=1)),
        (6, say(Topic.NEWS, _story("IBM", 1.0, "a"), known_h=-2)),
    ]
    assert folded([*poison, *known], head=head).canonical_bytes() == before


def test_only_what_the_topics_own_agent_says_counts(folded):
    other = rate("DFF", 5.0, known_h=1, source_agent="NewsAnalysisAgent")
    context = folded([rate("DFF", 0.08, known_h=20), other])
    assert context.fed_funds_rate == 0.08


def test_what_is_said_to_one_agent_holds_for_everybody(folded):
    context = folded([rate("DFF", 0.08, known_h=20, target_agent="TradingAgent")])
    assert context.fed_funds_rate == 0.08


def test_an_expired_message_still_hides_the_older_one(folded):
    older = rate("DFF", 0.07, known_h=30)
    expired = rate("DFF", 0.08, known_h=20, expires_at=AS_OF)
    context = folded([older, expired])
    assert context.fed_funds_rate is None
    assert context.provenance["fed_funds_rate"].value == 0.08
    assert context.provenance["fed_funds_rate"].quality is Quality.STALE


def _story(asset: str, score: float | None, story: str, confidence: float = 0.5) -> dict:
    sentiment = "positive" if score is None or score > 0 else "negative"
    said = {"asset": asset, "sentiment": sentiment, "confidence": confidence, "summary": "."}
    return said | {"story_id": story} | ({} if score is None else {"score": score})


def test_news_is_averaged_by_confidence_within_a_symbol_and_over_the_symbols(folded):
    messages = [
        say(Topic.NEWS, _story("IBM", 1.0, "a", 0.9)),
        say(Topic.NEWS, _story("IBM", -0.5, "b", 0.3)),
        say(Topic.NEWS, _story("SPY", None, "c", 0.6)),
        say(Topic.NEWS, _story("SPY", -1.0, "too old", 1.0), known_h=37),
    ]
    context = folded(messages)
    ibm = (1.0 * 0.9 - 0.5 * 0.3) / 1.2
    assert context.symbols["IBM"].news_sentiment == pytest.approx(ibm)
    assert context.symbols["SPY"].news_sentiment == 1.0
    assert context.news_sentiment == pytest.approx((ibm * 0.6 + 1.0 * 0.6) / 1.2)


def test_a_story_told_again_counts_once(folded):
    messages = [
        say(Topic.NEWS, _story("IBM", -1.0, "a"), known_h=9),
        say(Topic.NEWS, _story("IBM", 0.5, "a"), known_h=3),
    ]
    assert folded(messages).news_sentiment == 0.5


def test_news_without_any_confidence_is_missing(folded):
    context = folded([say(Topic.NEWS, _story("IBM", 1.0, "a", 0.0))])
    assert context.news_sentiment is None
    assert context.provenance["news_sentiment"].quality is Quality.MISSING


def test_old_news_is_shown_and_masked(folded):
    context = folded([say(Topic.NEWS, _story("IBM", 1.0, "a"), known_h=40)])
    assert context.news_sentiment is None and context.symbols == {}
    assert context.provenance["news_sentiment"].quality is Quality.STALE
    assert context.provenance["news_sentiment"].value == 1.0


def test_options_and_insider_scores_are_means_of_each_symbols_newest(folded):
    messages = [
        say(Topic.OPTIONS_FLOW, {"symbol": "IBM", "score": -0.9}, known_h=9),
        say(Topic.OPTIONS_FLOW, {"symbol": "IBM", "score": 0.4}, known_h=1),
        say(Topic.OPTIONS_FLOW, {"symbol": "SPY", "score": 0.2}),
        say(Topic.INSIDER, {"symbol": "IBM", "score": -0.5}, known_h=500),
    ]
    context = folded(messages)
    assert context.options_flow_sentiment == pytest.approx(0.3)
    assert context.insider_trading_signal == -0.5
    assert context.symbols["IBM"].options_flow_sentiment == 0.4


def test_what_lies_ahead_is_listed_in_order(folded):
    def release(event: str, at: str) -> dict:
        return {"event": event, "release_at": at}

    messages = [
        say(Topic.EARNINGS_CALENDAR, {"symbol": "IBM", "report_date": "2013-10-16"}, known_h=9),
        say(
            Topic.EARNINGS_CALENDAR,
            {"symbol": "IBM", "report_date": "2013-10-15", "when": "after_close"},
            known_h=2,
        ),
        say(Topic.EARNINGS_CALENDAR, {"symbol": "AAPL", "report_date": "2013-10-28"}),
        say(Topic.ECONOMIC_CALENDAR, release("PPI", "2013-10-11T08:30:00-04:00")),
        say(Topic.ECONOMIC_CALENDAR, release("FOMC minutes", "2013-10-09T14:00:00-04:00")),
        say(Topic.ECONOMIC_CALENDAR, release("Jobs", "2013-10-04T08:30:00-04:00")),
    ]
    context = folded(messages)
    assert [event.name for event in context.events] == ["FOMC minutes", "PPI"]
    assert list(context.symbols) == ["IBM"]
    assert [str(e.at) for e in context.symbols["IBM"].events] == ["2013-10-15 20:05:00+00:00"]


def test_an_event_says_in_how_many_trading_days_it_is(folded):
    """From Monday 7 October 2013; on Columbus Day, the 14th, the exchange is open."""

    def release(event, at, **more):
        return say(Topic.ECONOMIC_CALENDAR, {"event": event, "release_at": at} | more)

    context = folded(
        [
            release("today", "2013-10-07T15:00:00-04:00"),
            release("Saturday", "2013-10-12T08:30:00-04:00"),
            release("next Tuesday", "2013-10-15T23:59:00-04:00", importance="high"),
            say(Topic.EARNINGS_CALENDAR, {"symbol": "IBM", "report_date": "2013-10-16"}),
        ]
    )
    assert [(e.name, e.in_trading_days, e.importance) for e in context.events] == [
        ("today", 0, None),
        ("Saturday", 4, None),
        ("next Tuesday", 6, "high"),
    ]
    (report,) = context.symbols["IBM"].events
    assert (report.in_trading_days, report.importance) == (7, None)


def test_a_withdrawn_date_is_not_listed(folded):
    date_of = {"event": "PPI", "release_at": "2013-10-11T08:30:00-04:00"}
    standing = say(Topic.ECONOMIC_CALENDAR, date_of, known_h=9)
    gone = say(Topic.ECONOMIC_CALENDAR, date_of | {"status": "withdrawn"}, known_h=2)
    assert len(folded([standing]).events) == 1
    assert folded([standing, gone]).events == ()
    assert folded([gone, standing]).events == ()


def test_the_id_names_what_was_used_and_nothing_else(folded):
    messages = [*full_rates(), bill(1)]
    context = folded(messages)
    beside_the_point = [rate("UNHEARD_OF", 1.0), bill(9, "law"), rate("DFF", 9.9, known_h=90)]
    assert folded([*messages, *beside_the_point]).context_id == context.context_id
    told_again = [message.model_copy(update={"message_id": "x"}) for message in messages]
    assert folded(told_again).context_id == context.context_id
    assert folded([*messages, bill(2)]).context_id != context.context_id
    later = folded(messages, as_of=AS_OF + timedelta(minutes=1))
    assert later.context_id != context.context_id
