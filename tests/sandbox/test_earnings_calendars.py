"""Nasdaq's and Alpha Vantage's calendars in the box: their forms, refusals, and that days agree."""

import csv
import io
from datetime import date, timedelta

import httpx

from relentless.configs.sessions import is_session
from relentless.sandbox.filers import FUNDS
from relentless.sandbox.invented_earnings import between, companies, plan
from relentless.sandbox.world import ORIGIN_HEADER

BROWSER = {"User-Agent": "Mozilla/5.0"}
OWN = ("SPY", "IBM", "JPM")


async def calendar(box, day, headers=BROWSER):
    transport = httpx.ASGITransport(app=box.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
        path = "/nasdaq/api/calendar/earnings"
        return await client.get(path, params={"date": day}, headers=headers)


async def table(box, **more):
    query = {"function": "EARNINGS_CALENDAR", "horizon": "3month", "apikey": "k"} | more
    return await box.get("/alphavantage/query", **query)


async def test_a_day_has_rows_in_nasdaqs_form(box):
    response = await calendar(box(), "2013-10-16")
    assert response.headers[ORIGIN_HEADER] == "synthetic"
    body = response.json()
    assert body["status"]["rCode"] == 200
    (jpm,) = [row for row in body["data"]["rows"] if row["symbol"] == "JPM"]
    assert jpm["fiscalQuarterEnding"] == "Sep/2013"
    assert "invented" in jpm["name"]
    assert jpm.keys() == body["data"]["headers"].keys()


async def test_a_holiday_and_a_weekend_have_no_data(box):
    for day in ("2013-11-28", "2013-10-12"):
        assert (await calendar(box(), day)).json()["data"] is None


async def test_a_bad_date_is_refused_with_status_200_and_a_program_with_403(box):
    response = await calendar(box(), "16 October")
    assert (response.status_code, response.json()["status"]["rCode"]) == (200, 400)
    assert (await calendar(box(), "2013-10-16", {"User-Agent": "python"})).status_code == 403


async def test_the_table_is_csv_with_crlf_and_names_both_calendars_companies(box):
    sandbox = box()
    body = (await table(sandbox)).text
    assert body.count("\r\n") == body.count("\n") > 100
    rows = list(csv.DictReader(io.StringIO(body, newline="")))
    nasdaq = {r["symbol"] for r in (await calendar(sandbox, "2013-10-16")).json()["data"]["rows"]}
    same = {r["symbol"] for r in rows if r["reportDate"] == "2013-10-16"}
    assert len(nasdaq & same) > 2
    assert min(r["reportDate"] for r in rows) >= "2013-10-07"


async def test_refusals_are_json_in_place_of_the_table(box):
    for wrong in ({"apikey": ""}, {"function": "OVERVIEW"}, {"horizon": "1year"}):
        response = await table(box(), **wrong)
        assert response.status_code == 200
        assert "Error Message" in response.json()


def test_what_is_said_on_a_day_is_told_by_the_plans_alone():
    first, last = date(2013, 10, 7), date(2014, 1, 6)
    for on in (date(2013, 10, 7), date(2013, 10, 15)):
        for report in between(5, OWN, on, first, last):
            found = plan(5, report.symbol, report.name, report.ends)
            assert found.on(on) == report
            assert is_session(report.day)
            assert report.ends < report.day
            assert report.symbol not in FUNDS


def test_some_dates_move_or_vanish_and_each_change_comes_before_both_dates():
    fates = {"moved": 0, "vanished": 0, "stays": 0}
    for symbol, name in companies(OWN):
        found = plan(5, symbol, name, date(2013, 9, 30))
        if found.moves_on is None:
            fates["stays"] += 1
            continue
        fates["vanished" if found.moved_to is None else "moved"] += 1
        assert found.moves_on < found.report.day
        assert found.moved_to is None or found.moves_on < found.moved_to
        before = found.moves_on - timedelta(days=1)
        assert found.on(before) == found.report
        now = found.on(found.moves_on)
        assert (now.day if now else None) == found.moved_to
    assert fates["stays"] > fates["moved"] > fates["vanished"] > 0
