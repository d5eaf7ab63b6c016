"""What is kept between folds gives the contexts that the whole journal gives."""

from datetime import UTC, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.configs.freshness import load
from relentless.models.fold import fold
from relentless.models.fold_standing import Standing
from relentless.proto.contexts import Topic

from .fold_messages import AS_OF, TRADING_DATE, bill, rate, say

RULES = load()


def news(asset, story, score, **more):
    said = {"asset": asset, "sentiment": "neutral", "confidence": 0.8, "summary": "s"}
    return say(Topic.NEWS, said | {"score": score, "story_id": story}, **more)


def step(draw_kind, key, value, known_h, observed_h, expires_h):
    envelope = {"known_h": known_h, "observed_h": observed_h}
    if expires_h is not None:
        envelope["expires_at"] = AS_OF - timedelta(hours=known_h) + timedelta(hours=expires_h)
    if draw_kind == 0:
        return rate(("DGS10", "DGS2", "DFF")[key], value, **envelope)
    if draw_kind == 1:
        return bill(key + 1, ("introduced", "reported", "law")[int(value) % 3], **envelope)
    if draw_kind == 2:
        story = f"s{key}" if value < 8 else None
        return news(("IBM", "XOM", "SPY")[key], story, value / 10, **envelope)
    if draw_kind == 3:
        context = {"symbol": "IBM", "report_date": "2013-10-16", "fiscal_quarter": f"Q{key}"}
        return say(Topic.EARNINGS_CALENDAR, context, **envelope)
    filing = {"accession": f"0000000001-13-{key:06d}", "cik": 1, "form": "8-K"}
    return say(Topic.FILING, filing | {"accepted_at": AS_OF.isoformat()}, known_h=known_h)


STEPS = st.lists(
    st.builds(
        step,
        st.integers(0, 4),
        st.integers(0, 2),
        st.integers(0, 9).map(float),
        st.integers(-40, 260).map(float),
        st.one_of(st.none(), st.integers(0, 120).map(float)),
        st.one_of(st.none(), st.integers(1, 60).map(float)),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.lists(st.tuples(st.integers(0, 25), st.integers(0, 12)), max_size=6))
def test_forgetting_changes_no_later_context(messages, moments):
    journal = list(enumerate(messages, start=1))
    standing, head, as_of = Standing(), 0, AS_OF.astimezone(UTC) - timedelta(hours=30)
    for more, hours in moments:
        new, as_of = head + more, as_of + timedelta(hours=hours)
        assert standing.covers(as_of, new)
        standing.take(journal[head:new], new)
        head = new
        whole, kept = (
            fold(some, as_of=as_of, trading_date=TRADING_DATE, head=head, rules=RULES)
            for some in (journal[:head], list(standing.messages()))
        )
        assert kept.canonical_bytes() == whole.canonical_bytes()
        standing.forget(as_of)
        assert len(standing) <= len(journal[:head])


def test_stories_are_not_kept_for_ever():
    standing = Standing()
    standing.take([(n, news("IBM", f"s{n}", 0.1, known_h=24.0 * n)) for n in range(1, 31)], 30)
    standing.forget(AS_OF)
    assert sorted(sequence for sequence, _ in standing.messages()) == [1, 2, 3, 4, 5, 6, 7]


def test_what_is_hidden_is_forgotten_and_the_past_is_not_covered():
    standing = Standing()
    standing.take([(n, rate("DGS10", float(n), known_h=20.0 - n)) for n in range(1, 11)], 10)
    standing.take([(11, rate("DGS10", 11.0, known_h=-5.0))], 11)
    standing.forget(AS_OF)
    assert [sequence for sequence, _ in standing.messages()] == [10, 11]
    assert standing.covers(AS_OF, 11) and not standing.covers(AS_OF - timedelta(seconds=1), 11)
    assert not standing.covers(AS_OF, 10)
