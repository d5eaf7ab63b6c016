"""The FRED agent: what it says as of a moment, and that a fault is a gap and never a value."""

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.fred import FredAgent
from relentless.agents.fred.observations import read_history
from relentless.configs.clock import EASTERN
from relentless.configs.releases import SERIES
from relentless.proto.contexts import Origin, Rates, Topic
from relentless.proto.errors import InvalidMessage, SourceMalformed

from .conftest import FAST, eastern
from .fred_stub import RELEASES, generated, page, recorded, serve


@pytest.fixture(scope="module")
def series():
    return generated()


_WHOLE = {}


@pytest.fixture
async def whole(make_run, series):
    """The digests of a run without faults, worked out once."""
    if not _WHOLE:
        _WHOLE.update(digests(await FredAgent().collect(await make_run(serve(series)))))
    return _WHOLE


def by_series(collected):
    return {m.context["series_id"]: m for m in collected.messages}


def digests(collected):
    return {m.context["series_id"]: m.content_digest() for m in collected.messages}


async def test_every_series_gives_one_whole_message(make_run, series):
    run = await make_run(serve(series))
    collected = await FredAgent().collect(run)
    assert collected.status == "ok"
    assert set(by_series(collected)) == set(SERIES)
    for message in collected.messages:
        assert message.topic is Topic.RATES
        assert message.source_agent == "FredAgent"
        assert message.timestamp == run.as_of
        assert message.known_at <= run.as_of
        assert message.expires_at is None
        assert message.message_id == message.content_digest()[:32]
        assert isinstance(message.typed(), Rates)
        (evidence,) = message.evidence
        assert evidence.origin is Origin.RECORDED
        assert evidence.note == "vintage: recorded later"
        assert "api_key" not in evidence.url
        assert run.upstream.raw.get(evidence.sha256)
        assert message.context["window_days"] == 730


async def test_generated_values_are_told_from_recorded_ones(make_run, series):
    def handler(request):
        params = dict(request.url.params)
        return page(series, params, "synthetic" if params["series_id"] == "VIXCLS" else "recorded")

    found = by_series(await FredAgent().collect(await make_run(handler)))
    assert found["VIXCLS"].evidence[0].origin is Origin.SYNTHETIC
    assert found["VIXCLS"].evidence[0].note is None
    assert found["DGS10"].evidence[0].origin is Origin.RECORDED


@pytest.mark.parametrize("at", ["05:30", "08:05", "09:25"])
async def test_the_recorded_day_knows_what_fred_could_serve_by_then(make_run, recordings, at):
    run = await make_run(serve(recorded(recordings)), f"2013-10-07 {at}")
    found = by_series(await FredAgent().collect(run))
    days = {name: m.observed_at.astimezone(EASTERN).date() for name, m in found.items()}
    expected = dict.fromkeys(SERIES, date(2013, 10, 3))
    expected |= {"DFEDTARU": date(2013, 10, 6), "DFEDTARL": date(2013, 10, 6)}
    expected |= dict.fromkeys(("UNRATE", "CPIAUCSL", "CPILFESL"), date(2013, 8, 1))
    expected["DTWEXBGS"] = date(2013, 9, 27)
    if at == "09:25":
        expected["VIXCLS"] = date(2013, 10, 4)
    assert days == expected
    values = {name: m.context["value"] for name, m in found.items()}
    assert (values["DGS10"], values["DFF"], values["UNRATE"]) == (2.62, 0.08, 7.2)
    assert values["VIXCLS"] == (16.74 if at == "09:25" else 17.67)
    assert (values["DFEDTARU"], values["DFEDTARL"]) == (0.25, 0.0)
    assert found["DFEDTARU"].context["zscore"] is None
    # August over May: 7.2 against 7.5.
    assert found["UNRATE"].context["change_3m"] == pytest.approx(-0.3)
    assert 1.0 < found["CPILFESL"].context["change_12m_pct"] < 3.0


@pytest.mark.parametrize("at", ["05:15", "08:00", "09:20"])
async def test_what_becomes_known_later_does_not_matter(make_run, series, at):
    """The wire is poisoned past the moment: other values, words, holes and a longer series."""
    run = await make_run(serve(series), f"2013-10-07 {at}")
    poisoned = {
        name: [
            (day, text if RELEASES.known_at(name, day) <= run.as_of else poison)
            for (day, text), poison in zip(
                rows, ["999999", ".", "poison", "-1e308"] * (len(rows) // 4 + 1), strict=False
            )
        ]
        for name, rows in series.items()
    }
    clean = await FredAgent().collect(run)
    again = await FredAgent().collect(await make_run(serve(poisoned), f"2013-10-07 {at}"))
    assert not again.gaps
    assert digests(clean) == digests(again)


async def test_the_same_moment_says_the_same_at_another_time(make_run, series):
    first = await FredAgent().collect(await make_run(serve(series), "2013-10-07 05:15"))
    later = await FredAgent().collect(await make_run(serve(series), "2013-10-07 08:00"))
    assert digests(first) == digests(later)
    assert {m.message_id for m in first.messages} == {m.message_id for m in later.messages}


async def hang(_):
    await asyncio.Event().wait()


async def cut_json(answer):
    return httpx.Response(200, content=answer.content[: len(answer.content) // 2])


async def empty_page(answer):
    return httpx.Response(200, json=answer.json() | {"count": 0, "observations": []})


async def short_page(answer):
    body = answer.json()
    return httpx.Response(200, json=body | {"observations": body["observations"][:-40]})


async def only_holes(answer):
    body = answer.json()
    rows = [row | {"value": "."} for row in body["observations"]]
    return httpx.Response(200, json=body | {"observations": rows})


async def backwards(answer):
    body = answer.json()
    return httpx.Response(200, json=body | {"observations": body["observations"][::-1]})


async def per_cent(answer):
    return httpx.Response(200, json=answer.json() | {"units": "pch"})


FAULTS = {
    "429": (httpx.Response(429), "source_rate_limited"),
    "429-wait": (httpx.Response(429, headers={"Retry-After": "900"}), "source_rate_limited"),
    "500": (httpx.Response(500), "source_unavailable"),
    "503-html": (httpx.Response(503, html="<html>busy</html>"), "source_unavailable"),
    "cut": (httpx.ReadError("connection reset"), "source_unavailable"),
    "hung": (hang, "source_unavailable"),
    "empty-page": (empty_page, "empty"),
    "only-holes": (only_holes, "empty"),
    "short-page": (short_page, "source_malformed"),
    "malformed": (cut_json, "source_malformed"),
    "backwards": (backwards, "source_malformed"),
    "other-units": (per_cent, "source_malformed"),
    "html": (httpx.Response(200, html="<html>hello</html>"), "source_malformed"),
    "bad-key": (httpx.Response(400, json={"error_message": "Bad Request."}), "source_rejected"),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_in_one_series_is_a_gap_and_the_others_go_on(make_run, series, whole, kind):
    fault, reason = FAULTS[kind]
    hung = kind == "hung"
    policy = replace(FAST, attempts=1) if hung else FAST
    handler = serve(series, {"DGS10": fault})
    run = await make_run(handler, policy=policy, timeout_s=1.0 if hung else 5.0)
    collected = await FredAgent().collect(run)
    (gap,) = collected.gaps
    assert (gap.what, gap.reason) == ("DGS10", reason)
    assert collected.status == "degraded"
    assert digests(collected) == {k: v for k, v in whole.items() if k != "DGS10"}


async def test_a_dead_source_fails_the_run_and_raises_nothing(make_run, series):
    run = await make_run(serve(series, dict.fromkeys(SERIES, httpx.Response(500))))
    collected = await FredAgent().collect(run)
    assert collected.status == "failed"
    assert {gap.what for gap in collected.gaps} == set(SERIES)


@pytest.mark.parametrize("name", SERIES)
def test_a_later_observation_is_never_known_before_an_earlier_one(name):
    """The sandbox finds what was known by bisection, which rests on this."""
    monthly = RELEASES.frequency(name) == "Monthly"
    days = [date(1996, 1, 1) + timedelta(days=n) for n in range(32 * 365)]
    times = [RELEASES.known_at(name, day) for day in days if day.day == 1 or not monthly]
    assert times == sorted(times)


def read(rows, **body):
    start = {"realtime_start": "2013-10-07"}
    observations = [start | {"date": d, "value": v} for d, v in rows]
    return read_history(
        "DGS10",
        {"count": len(rows), "observations": observations} | body,
        as_of=eastern("2013-10-07 05:30"),
        opens=date(2013, 10, 7),
        known_at=lambda day, vintage: datetime.combine(
            vintage or day + timedelta(days=1), datetime.min.time(), EASTERN
        ),
    ).observations


def test_a_point_is_a_missing_value():
    assert [
        o.value for o in read([("2013-10-01", "2.6"), ("2013-10-02", "."), ("2013-10-03", "")])
    ] == [2.6]


@pytest.mark.parametrize(
    "rows",
    [
        [("2013-10-01", "2,6")],
        [("2013-10-01", "nan")],
        [("2013-10-01", "inf")],
        [("2013-10-01", 2.6)],
        [("2013-10-01", None)],
        [("2013-10-01", ["2.6"])],
        [("2013-13-01", "2.6")],
        [("yesterday", "2.6")],
        [("2013-10-01", "2.6"), ("2013-10-01", "2.7")],
        [("2013-10-02", "2.6"), ("2013-10-01", "2.7")],
    ],
    ids=str,
)
def test_what_is_no_observation_is_malformed(rows):
    with pytest.raises(SourceMalformed):
        read(rows)


@pytest.mark.parametrize(
    "body", [None, [], {}, {"observations": {}}, {"observations": [1]}, {"observations": ["x"]}]
)
def test_a_body_of_another_shape_is_malformed(body):
    with pytest.raises(SourceMalformed):
        read_history(
            "DGS10",
            body,
            as_of=eastern("2013-10-07 05:30"),
            opens=date(2010, 10, 8),
            known_at=lambda d, _: d,
        )


async def test_a_value_from_the_future_cannot_be_composed(make_run, series):
    run: Run = await make_run(serve(series))
    with pytest.raises(InvalidMessage, match="not yet known"):
        FredAgent().compose(
            run, Rates(series_id="DGS10", value=1.0), known_at=run.as_of + timedelta(seconds=1)
        )
    with pytest.raises(InvalidMessage):
        FredAgent().compose(run, {"series_id": "DGS10", "value": "x"}, known_at=run.as_of)


async def test_the_request_asks_for_every_value_of_three_years_and_for_few_vintages(
    make_run, series
):
    seen = []

    def handler(request):
        seen.append(dict(request.url.params))
        return page(series, seen[-1])

    await FredAgent().collect(await make_run(handler, "2013-10-07 05:30"))
    assert {p["series_id"] for p in seen} == set(SERIES)
    for params in seen:
        assert params["realtime_end"] == "2013-10-07"
        assert not {"vintage_dates", "vintage_date"} & set(params)
        assert params["realtime_start"] == params["observation_start"]
        days = date(2013, 10, 7) - date.fromisoformat(params["realtime_start"])
        assert days.days < 2_000  # one vintage a day is the most that there can be
        assert params["file_type"] == "json"
        assert date.fromisoformat(params["observation_start"]) == date(2010, 10, 8)
