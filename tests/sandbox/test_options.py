"""Option services in the box: wire formats, keys, paging, and nothing later than public data."""

from datetime import date, datetime

import httpx
import pytest

from relentless.sandbox import invented_options as invented

CHAIN = "/cboe/api/global/delayed_quotes/options/IBM.json"
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}


async def ask(box, path, headers=None, cookies=None, **query):
    transport = httpx.ASGITransport(app=box.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://box.test", cookies=cookies
    ) as client:
        return await client.get(path, params=query or None, headers=headers)


async def test_cboe_serves_the_delayed_session_and_says_that_it_is_invented(box):
    here = box("2013-10-07T05:20")
    response = await ask(here, CHAIN)
    assert response.headers["x-relentless-origin"] == "synthetic"
    body = response.json()
    assert body["timestamp"] == "2013-10-07 09:15:00"
    assert body["data"]["last_trade_time"].startswith("2013-10-04T15:59")
    options = body["data"]["options"]
    assert 150 <= len(options) <= 350
    assert any(row["iv"] == 0.0 for row in options)
    assert any(row["last_trade_time"] is None for row in options)
    assert any(row["option"].startswith("IBM131011") for row in options)
    here.at("2013-10-07T05:29")
    assert (await ask(here, CHAIN)).content == response.content


async def test_nothing_of_the_last_quarter_of_an_hour_is_served(box):
    here = box("2013-10-07T11:07")
    rows = (await ask(here, CHAIN)).json()["data"]["options"]
    times = [row["last_trade_time"] for row in rows if row["last_trade_time"]]
    assert "2013-10-07T10:30" < max(times) <= "2013-10-07T10:45:00"
    names = ",".join(row["option"] for row in rows if row["volume"] > 0)[: 100 * 16 - 1]
    query = {"symbols": names.rsplit(",", 1)[0], "start": "2013-10-07", "end": "2013-10-08"}
    trades = (await ask(here, "/alpaca_data/v1beta1/options/trades", KEYS, **query)).json()[
        "trades"
    ]
    latest = max(row["t"] for rows in trades.values() for row in rows)
    assert latest <= "2013-10-07T14:52:00Z"


async def test_an_unknown_symbol_is_refused_as_the_store_refuses_it(box):
    response = await ask(box(), CHAIN.replace("IBM", "NONE"))
    assert response.status_code == 403
    assert "AccessDenied" in response.text


async def test_alpaca_wants_both_keys_and_pages_its_snapshots(box):
    here, path = box(), "/alpaca_data/v1beta1/options/snapshots/IBM"
    assert (await ask(here, path)).status_code == 403
    assert (await ask(here, path, KEYS, feed="opra")).status_code == 400
    seen, token = {}, None
    for _ in range(20):
        query = {"limit": 50, **({"page_token": token} if token else {})}
        body = (await ask(here, path, KEYS, **query)).json()
        assert not seen.keys() & body["snapshots"].keys()
        seen |= body["snapshots"]
        token = body["next_page_token"]
        if token is None:
            break
    assert len(seen) == len((await ask(here, CHAIN)).json()["data"]["options"])
    assert any("greeks" not in row for row in seen.values())
    assert any("impliedVolatility" in row for row in seen.values())


async def test_tradier_answers_null_for_nothing_and_401_without_a_token(box):
    here, headers = box(), {"Authorization": "Bearer x", "Accept": "application/json"}
    path = "/tradier/v1/markets/options/"
    query = {"symbol": "IBM", "expiration": "2013-10-09"}
    assert (await ask(here, path + "chains", **query)).status_code == 401
    assert (await ask(here, path + "chains", headers, **query)).json() == {"options": None}
    none = await ask(here, path + "expirations", headers, symbol="NONE")
    assert none.json() == {"expirations": None}
    listed = (await ask(here, path + "expirations", headers, symbol="IBM")).json()
    assert "2013-10-18" in listed["expirations"]["date"]
    query = {"symbol": "IBM", "expiration": "2013-10-18", "greeks": "true"}
    rows = (await ask(here, path + "chains", headers, **query)).json()["options"]["option"]
    assert any(row["greeks"] is None for row in rows)
    assert any(row["greeks"] for row in rows)


async def test_yahoo_is_401_without_cookie_and_crumb(box):
    here = box()
    assert (await ask(here, "/yahoo/v1/test/getcrumb")).status_code == 401
    assert (await ask(here, "/yahoo/v7/finance/options/IBM")).status_code == 401
    first = await ask(here, "/yahoo/")
    assert first.status_code == 404
    cookies = dict(first.cookies)
    crumb = (await ask(here, "/yahoo/v1/test/getcrumb", cookies=cookies)).text
    good = await ask(here, "/yahoo/v7/finance/options/IBM", cookies=cookies, crumb=crumb)
    result = good.json()["optionChain"]["result"][0]
    assert result["options"][0]["expirationDate"] == result["expirationDates"][0]
    assert (
        await ask(here, "/yahoo/v7/finance/options/IBM", cookies=cookies, crumb="no")
    ).status_code == 401


@pytest.mark.parametrize("symbol", ["SPY", "IBM"])
def test_daily_volumes_are_the_sums_of_the_trades_that_are_shown(symbol):
    day = date(2013, 10, 4)
    until = datetime(2013, 10, 4, 16, tzinfo=invented.EASTERN)
    found = invented.shown(1, symbol, day, until, until + invented.DELAY)
    volumes = invented.daily_volumes(1, symbol, day)
    shown = {n: int(v) for n, v in zip(found.listed.names, found.volumes, strict=True) if v}
    assert shown == {name: volume for name, (volume, _) in volumes.items()}
    assert (
        found.open_interest == invented.open_interest(1, symbol, date(2013, 10, 3), found.listed)
    ).all()


def test_a_contract_of_today_was_listed_yesterday():
    today = set(invented.contracts("IBM", date(2013, 10, 8)).names)
    yesterday = set(invented.contracts("IBM", date(2013, 10, 7)).names)
    assert today == yesterday


def test_another_session_has_other_volumes_and_the_same_session_the_same():
    invented.tape.cache_clear()
    first = invented.daily_volumes(1, "IBM", date(2013, 10, 3))
    invented.tape.cache_clear()
    assert invented.daily_volumes(1, "IBM", date(2013, 10, 3)) == first
    assert invented.daily_volumes(1, "IBM", date(2013, 10, 4)) != first
    assert invented.daily_volumes(2, "IBM", date(2013, 10, 3)) != first
