"""P6: a failing agent blocks nobody.

Mornings drawn by a seeded generator: each agent's sources are out, cut, slow or wrong before some
contexts; one agent ignores its cancellation and another raises. In every one of them all contexts
are there in time, what the unhurt agents feed is what a clean morning has, byte for byte, and what
the hurt ones feed is flagged or a value of the clean morning, and never anything else; of a mean
over many parts, each part is.
"""

import json
import random
from datetime import UTC
from itertools import pairwise

import pytest

from relentless.agents.base import Collected
from relentless.configs import freshness
from relentless.configs.releases import SERIES
from relentless.mcp_server.coordinator import TIMES
from relentless.models.fold import fold
from relentless.proto.daily import Quality
from relentless.sandbox.faults import Fault
from relentless.store.keys import ensure_local

from .mornings import GRACE_S, MOMENTS, TIMEOUT_S, Sabotage, short_grace, theatre

SOURCES = {
    "FredAgent": ("/fred/",),
    "CongressAgent": ("/v3/",),
    "EarningsAgent": ("/nasdaq/", "/alphavantage/", "/sec/", "/sec_archive/"),
    "SecAgent": ("/sec/", "/sec_archive/"),
    "InsiderAgent": ("/sec/", "/sec_archive/"),
    "EconomicAgent": ("/fred_web/", "/fred/"),
    "NewsAnalysisAgent": (
        *("/cnbc/", "/wsj/", "/ft/", "/bloomberg/", "/reuters/", "/gdelt/"),
        "/alpaca_data/",
    ),
    "OptionsFlowAgent": ("/cboe/", "/tradier/", "/yahoo/", "/alpaca_data/"),
}
"""Where each agent asks. An outage takes all of an agent's sources; whom else it hurts is seen by
their reports."""
FEEDS = {
    "CongressAgent": {
        *("legislative_risk_score", "regulatory_change_probability", "sector_scores"),
        "bills_past_a_chamber",
    },
    "NewsAnalysisAgent": {"news_sentiment"},
    "OptionsFlowAgent": {"options_flow_sentiment"},
    "InsiderAgent": {"insider_trading_signal"},
    "EarningsAgent": {"earnings"},
    "EconomicAgent": {"events"},
    "SecAgent": set(),
}
"""What each agent feeds; FredAgent all the rest. A test holds it against a fold without the agent.
"earnings" and "events" are the dates ahead, by symbol and over all."""
PLACES = {"FredAgent": [("/fred/", f"series_id={name}&") for name in SERIES]}
"""Where an agent's requests can be told apart, so that several faults can be played at once."""
MEANS = {
    "NewsAnalysisAgent": lambda said: [(said["asset"], said["sentiment"])],
    "OptionsFlowAgent": lambda said: [
        (said["symbol"], said["vendor"], part, value) for part, value in said["parts"].items()
    ],
    "InsiderAgent": lambda said: [(said["symbol"], said["score"])],
}
"""Agents whose feature is a mean over what they could read, and what each of its parts says. A part
that was read is the clean morning's; the mean over fewer parts is no wrong value, and its note says
of how many. Of a story another publisher's copy may be left, in other words; a score of options
names the parts that it is made of."""
PATIENCE_S = 10.0
"""Wall seconds for a build on a busy machine; what hangs does so for thirty."""
PASSING = ("rate_limited", "server_error", "unavailable", "cut_body", "slow_body", "hang")
"""Kinds that a retry overcomes."""
LASTING = (
    *("rate_limited", "forbidden", "server_error", "unavailable", "cut_body", "slow_body"),
    *("truncated_json", "empty_body", "wrong_charset", "empty_page"),
    *("duplicated_page", "shifting_page"),
)
SEVEN = (
    {"rate_limited"},
    {"forbidden"},
    {"server_error", "unavailable"},
    {"cut_body", "slow_body", "hang"},
    {"truncated_json", "empty_body"},
    {"wrong_charset"},
    {"empty_page", "duplicated_page", "shifting_page"},
)


def due(clean, name, number):
    """Say whether an agent runs before a moment, and after the one before."""
    after = MOMENTS[number - 1] if number else None
    return any(
        (after is None or at > after) and at <= MOMENTS[number] for at in clean.reports[name]
    )


def endless(source, kinds):
    """Give kinds in a random order, each as often as the others."""
    while True:
        yield from source.sample(kinds, len(kinds))


def draw(source, clean, passing, lasting):
    """Draw one morning's sabotage, and the kinds of its faults."""
    names = sorted(clean.reports)
    slots = [(name, n) for name in names for n in range(len(MOMENTS) - 1) if due(clean, name, n)]
    hangs = source.choice(slots)
    raises = source.choice([slot for slot in slots if slot[0] != hangs[0]])
    free = [name for name in names if name not in (hangs[0], raises[0])]
    spared = source.choice(free) if len(free) > 1 else None
    faults, drawn = {}, []
    for name, number in slots:
        if name == spared or source.random() < 0.25:
            continue
        plan = faults.setdefault(number, [])
        if source.random() < 0.5:  # for a while: a retry overcomes it
            places = PLACES.get(name)
            chosen = source.sample(places, 5) if places else [(source.choice(SOURCES[name]), "")]
            for path, query in chosen:
                drawn.append(next(passing))
                plan.append(passing_fault(source, drawn[-1], path, query))
        else:  # until the next moment: everything that the agent asks
            drawn.append(next(lasting))
            wait = source.choice((None, 0, 600))
            plan += [
                Fault(path=path, kind=drawn[-1], count=None, retry_after=wait, seconds=0.001)
                for path in SOURCES[name]
            ]
    return Sabotage(faults, hangs, raises, outlives_grace=source.random() < 0.3), drawn


def passing_fault(source, kind, path, query):
    """Give a fault that hits one request or two, fewer than the tries of a call."""
    return Fault(
        path=path,
        query=query,
        kind=kind,
        count=1 if kind == "hang" else source.choice((1, 2)),
        retry_after=0,
        seconds=1.2 * TIMEOUT_S if kind == "hang" else 0.005,
    )


def said(context):
    """Give what a context says of each feature: value, time and quality, as bytes."""
    features = {
        name: json.dumps(
            [p.value, p.known_at and p.known_at.isoformat(), p.quality.value], sort_keys=True
        )
        for name, p in context.provenance.items()
    }
    features["sector_scores"] = json.dumps(
        [context.sector_scores, features.get("sector_scores")], sort_keys=True
    )
    features["events"] = json.dumps([e.model_dump(mode="json") for e in context.events])
    features["earnings"] = json.dumps(
        {
            symbol: [e.model_dump(mode="json") for e in found.events]
            for symbol, found in context.symbols.items()
            if found.events
        }
    )
    return features


def flagged(name, context):
    """Say whether a feature is masked: no value of it can be used."""
    if name in ("events", "earnings"):
        return False
    quality = context.provenance[name].quality
    used = getattr(context, name, None) or context.extra.get(name)
    if quality in (Quality.STALE, Quality.MISSING):
        assert not used, f"{name} is {quality.value} and used as {used}"
        return True
    return False


def fed(name, context):
    """Give the features that an agent feeds."""
    others = set().union(*FEEDS.values())
    everything = set(said(context))
    return FEEDS[name] if name in FEEDS else everything - others


def check(clean, morning):
    """Hold a morning against the clean one."""
    assert [c.as_of for c in morning.contexts] == [m.astimezone(UTC) for m in MOMENTS]
    assert max(morning.waits_s) < GRACE_S + PATIENCE_S, "a context waited for who hung"
    for number in range(len(MOMENTS)):
        _context_is_clean(clean, morning, number)
    for name in MEANS:
        assert parts(morning, name) <= parts(clean, name) | elsewhere(morning, name), name
    for (name, at), digests in clean.messages.items():
        first = next((n for n, m in enumerate(MOMENTS) if at <= m), len(MOMENTS) - 1)
        if name not in morning.hurt[first]:
            assert morning.messages.get((name, at)) == digests, f"{name} said otherwise at {at}"
    # Whoever was hurt has been due again, and all is as on the clean morning.
    last = MOMENTS[-1]
    for name, runs in morning.reports.items():
        newest = max(at for at in runs if at <= last)
        assert runs[newest].status == "ok", f"{name} has not recovered: {runs[newest]}"
    assert {f: v for f, v in said(morning.contexts[-1]).items()} == said(clean.contexts[-1])


def _context_is_clean(clean, morning, number):
    """Hold one context: the unhurt feed the same, the hurt what is flagged or was once clean."""
    context, hurt = morning.contexts[number], morning.hurt[number]
    now, wanted = said(context), said(clean.contexts[number])
    assert now.keys() == wanted.keys()
    earlier = [said(c) for c in clean.contexts[: number + 1]]
    for name in sorted(clean.reports):
        delivered = any(key[0] == name and key[1] <= context.as_of for key in morning.messages)
        for feature in fed(name, context):
            where = f"{feature} of {name} as of {context.as_of}"
            if name not in hurt:
                assert now[feature] == wanted[feature], where
            elif feature in ("events", "earnings"):
                _dates_are_clean(now[feature], [e[feature] for e in earlier], where)
                assert delivered or now[feature] in ("[]", "{}"), where
            elif not flagged(feature, context):
                assert delivered, f"{where}: a value without a message"
                clean_values = [e[feature] for e in earlier]
                assert name in MEANS or now[feature] in clean_values, f"{where}: a wrong value"


def parts(morning, name):
    """Give what an agent's messages say, part by part."""
    return {
        part for m in morning.bodies if m.source_agent == name for part in MEANS[name](m.context)
    }


def elsewhere(morning, name):
    """Give the parts that were measured at another vendor's, which the message names."""
    return {part for part in parts(morning, name) if part[1] in ("tradier", "alpaca", "yahoo")}


def _dates_are_clean(now, clean, where):
    """Hold that every date said is one that a clean context says."""

    def dates(text):
        body = json.loads(text)
        pairs = body.items() if isinstance(body, dict) else [("", body)]
        return {(symbol, json.dumps(e, sort_keys=True)) for symbol, es in pairs for e in es}

    assert dates(now) <= set().union(*map(dates, clean)), f"{where}: a date that nobody said"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The local set of keys, made once."""
    state = tmp_path_factory.mktemp("local")
    ensure_local(state)
    return state / "keys"


@pytest.mark.promise("P6")
@pytest.mark.timeout(3_600)
async def test_a_failing_agent_blocks_nobody(tmp_path, keys, soak):
    wanted = 1_000 if soak else 28
    source = random.Random(61)
    injected = []
    with short_grace():
        async with theatre(tmp_path, keys) as stage:
            clean = await stage.morning()
            assert not clean.hurt[-1], clean.reports
            passing, lasting = endless(source, PASSING), endless(source, LASTING)
            while len(injected) < wanted:
                sabotage, drawn = draw(source, clean, passing, lasting)
                morning = await stage.morning(sabotage)
                for name, number in (sabotage.hangs, sabotage.raises):
                    assert name in morning.hurt[number]
                check(clean, morning)
                injected += drawn
            assert stage.played >= len(injected) / 2
    assert all(kinds & set(injected) for kinds in SEVEN)


async def test_the_table_of_what_each_agent_feeds_is_what_a_fold_without_it_lacks(tmp_path, keys):
    async with theatre(tmp_path, keys) as stage:
        clean = await stage.morning()
    rules = freshness.load()
    last = MOMENTS[2]

    def folded(messages):
        numbered = list(enumerate(messages, start=1))
        return said(
            fold(
                numbered,
                as_of=last,
                trading_date=last.date(),
                head=len(numbered),
                rules=rules,
            )
        )

    whole = folded(clean.bodies)
    assert whole == said(clean.contexts[2])
    for name in clean.reports:
        without = folded([m for m in clean.bodies if m.source_agent != name])
        assert {f for f in whole if whole[f] != without[f]} <= fed(name, clean.contexts[2]), name


async def test_an_agent_that_says_zero_for_what_it_could_not_read_is_caught(tmp_path, keys):
    def broken(agent):
        if agent.name != "FredAgent":
            return
        collect = agent.collect

        async def zero(run):
            got = await collect(run)
            made = tuple(
                agent.compose(run, {"series_id": gap.what, "value": 0.0}, known_at=run.as_of)
                for gap in got.gaps
            )
            return Collected(got.messages + made, got.gaps)

        agent.collect = zero

    sabotage = Sabotage({0: [Fault(path="/fred/", kind="server_error", count=None)]})
    with short_grace():
        async with theatre(tmp_path, keys) as stage:
            clean = await stage.morning()
            check(clean, await stage.morning(sabotage))
            with pytest.raises(AssertionError, match="a wrong value"):
                check(clean, await stage.morning(sabotage, broken))


def test_the_moments_are_the_coordinators():
    assert [m.time() for m in MOMENTS[:3]] == list(TIMES)
    assert all(a < b for a, b in pairwise(MOMENTS))
