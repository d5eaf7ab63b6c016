"""Vendors' option chains: the recorded answers read whole, and every trap of the formats."""

import contextlib
import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.options import alpaca, cboe, measures, osi, tradier, yahoo
from relentless.agents.options.chain import final_at
from relentless.agents.options.smile import smile
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput, SourceMalformed

LATER = datetime(2016, 9, 7, 5, tzinfo=EASTERN)


@given(
    root=st.from_regex(r"[A-Z][A-Z0-9]{0,4}[A-Z]?", fullmatch=True),
    expiry=st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    right=st.sampled_from(["C", "P"]),
    thousandths=st.integers(0, 99_999_999),
    padded=st.booleans(),
)
def test_an_osi_symbol_reads_back_as_it_was_written(root, expiry, right, thousandths, padded):
    name = osi.Osi(root, expiry, right, thousandths / 1000)
    assert osi.read(name.text(padded=padded)) == name


@given(st.text(max_size=30))
def test_any_text_is_an_osi_symbol_or_a_typed_error(text):
    try:
        name = osi.read(text)
    except InvalidInput:
        return
    assert name.text() == text.replace(" ", "")


def test_adjusted_and_weekly_roots_are_told_apart():
    assert osi.read("AAPL1 240308C00172500").adjusted
    assert not osi.read("AAPL  240308C00172500").adjusted
    assert "SPXW" in osi.roots("SPX")
    assert osi.roots("AAPL") == ("AAPL",)
    with pytest.raises(InvalidInput, match="no such expiry"):
        osi.read("AAPL240230C00172500")


@pytest.fixture(scope="module")
def clx(recordings):
    return json.loads((recordings / "options/cboe_options_CLX.json").read_bytes())


def test_cboes_recorded_chain_is_read_whole(clx):
    chain = cboe.read("CLX", clx)
    rows = clx["data"]["options"]
    assert len(chain.contracts) == len(rows) == 306
    assert chain.session == date(2026, 7, 24)
    assert chain.closed
    assert chain.observed_at == datetime(2026, 7, 24, 16, tzinfo=EASTERN)
    assert chain.known_at == datetime(2026, 7, 24, 16, 30, tzinfo=EASTERN)
    assert chain.open_interest_date == date(2026, 7, 23)
    assert measures.volume(chain) == (3060, 1075)
    assert measures.open_interest(chain) == (47395, 37612)
    assert sum(c.iv is None for c in chain.contracts) == sum(r["iv"] == 0 for r in rows) == 42


def test_cboes_own_thirty_day_volatility_is_met_within_one_point(clx):
    shape = smile(cboe.read("CLX", clx))
    assert shape.atm == pytest.approx(clx["data"]["iv30"] / 100, abs=0.01)
    assert shape.term == pytest.approx(-0.042, abs=0.01)


def test_cboes_file_time_is_utc_and_its_trades_are_eastern(clx):
    chain = cboe.read("CLX", clx)
    assert chain.made_at == datetime(2026, 7, 25, 0, 43, 14, tzinfo=UTC)
    assert chain.data_at == datetime(2026, 7, 24, 15, 59, 59, tzinfo=EASTERN)


def test_an_index_has_an_underscore_in_cboes_address():
    assert cboe.path("SPX").endswith("/options/_SPX.json")
    assert cboe.path("AAPL").endswith("/options/AAPL.json")


def test_a_chain_of_another_symbol_or_an_adjusted_series_is_not_taken(clx):
    with pytest.raises(SourceMalformed, match="is about"):
        cboe.read("AAPL", clx)
    row = {**clx["data"]["options"][0], "option": "CLX1260821C00055000", "volume": 10_000.0}
    more = {**clx, "data": {**clx["data"], "options": [*clx["data"]["options"], row]}}
    assert cboe.read("CLX", more).contracts == cboe.read("CLX", clx).contracts


def test_yahoos_old_volumes_are_not_todays(recordings):
    body = json.loads((recordings / "options/yahoo_options_AAPL_2016.json").read_bytes())
    found = yahoo.result("AAPL", body)
    block = found["options"][0]
    start = datetime(2016, 9, 6, tzinfo=EASTERN).timestamp()
    expected = [
        sum(r.get("volume") or 0 for r in block[side] if r["lastTradeDate"] >= start)
        for side in ("calls", "puts")
    ]
    chain = yahoo.read("AAPL", [found], LATER)
    assert chain.session == date(2016, 9, 6)
    assert list(measures.volume(chain)) == expected == [104_885, 53_487]
    assert sum(r["volume"] for r in block["calls"]) == 108_142
    assert sum(c.iv is None for c in chain.contracts) == 5
    assert len(chain.contracts) == 76
    assert chain.spot == 107.68
    assert chain.expirations_listed == 15


@pytest.mark.parametrize(
    "body",
    [
        {"optionChain": {"result": [], "error": None}},
        {"optionChain": {"result": None, "error": {"code": "Not Found"}}},
        {"finance": {"result": None, "error": {"code": "Unauthorized"}}},
    ],
)
def test_yahoos_empty_results_and_error_bodies_are_typed_errors(body):
    with pytest.raises(SourceMalformed):
        yahoo.result("AAPL", body)


def alpaca_bodies(recordings, test):
    lines = (recordings / "options/alpaca_option_responses.jsonl").read_text().splitlines()
    return [row["body"] for row in map(json.loads, lines) if row["test"] == test]


def test_alpacas_recorded_snapshots_leave_out_what_they_do_not_state(recordings):
    first, second = alpaca_bodies(recordings, "TestGetOptionChainWithFilters")
    assert alpaca.next_page(first) == "QUFQTDI0MDQyNkMwMDE1MjUwMA=="
    assert alpaca.next_page(second) is None
    rows = [*alpaca.snapshots("AAPL", first), *alpaca.snapshots("AAPL", second)]
    rows = [
        (name, {**row, "dailyBar": {"t": "2024-04-24T04:00:00Z", "v": 9}}) for name, row in rows
    ]
    asked = datetime(2024, 4, 24, 21, tzinfo=UTC)
    bare, full = alpaca.read("AAPL", rows, asked).contracts
    assert (bare.iv, bare.delta) == (None, None)
    assert full.iv == pytest.approx(0.98711609)
    assert full.delta == pytest.approx(0.95671104)
    assert {c.open_interest for c in (bare, full)} == {None}
    assert (bare.bid, bare.ask) == (16.25, 17)
    stale = [(n, {**r, "dailyBar": {"t": "2024-04-23T04:00:00Z", "v": 9}}) for n, r in rows]
    with pytest.raises(SourceMalformed, match="which day"):
        alpaca.read("AAPL", stale, asked)


def test_alpacas_recorded_bars_and_trades_are_read(recordings):
    (trades,) = alpaca_bodies(recordings, "TestGetOptionTrades")
    prints = alpaca.prints(trades)
    assert [(p.size, p.price) for p in prints] == [(4, 0.98), (1, 0.99)]
    assert prints[0].at == datetime(2024, 3, 5, 16, 59, 59, 816906, UTC)
    (bars,) = alpaca_bodies(recordings, "TestGetOptionBars")
    found = alpaca.bars(bars)
    assert sum(volume for *_, volume in found) == 82 + 9959 + 7637 + 8483 + 7925 + 2895 + 5669
    assert {day for _, day, _ in found} == {date(2024, 3, 5)}


def option(**more):
    traded = int(datetime(2026, 7, 24, 15, tzinfo=EASTERN).timestamp() * 1000)
    return {
        "symbol": "CLX260821C00095000",
        **{"bid": 4.0, "ask": 4.2, "volume": 12, "open_interest": 5, "trade_date": traded},
        "greeks": {"delta": 0.5, "mid_iv": 0.0},
    } | more


def test_tradiers_null_is_nothing_and_its_single_object_is_one():
    # No recorded answer exists: these follow the documented contract.
    assert tradier.expirations("CLX", {"expirations": None}) == []
    one = {"expirations": {"date": "2026-08-21"}}
    assert tradier.expirations("CLX", one) == [date(2026, 8, 21)]
    assert tradier.options("CLX", {"options": None}) == []
    rows = tradier.options("CLX", {"options": {"option": option()}})
    (contract,) = tradier.read("CLX", rows, 1, datetime(2026, 7, 25, tzinfo=UTC)).contracts
    assert (contract.iv, contract.delta, contract.volume) == (None, 0.5, 12)
    with pytest.raises(SourceMalformed):
        tradier.options("CLX", {"fault": "x"})


def test_a_trade_later_than_the_answer_is_refused():
    with pytest.raises(SourceMalformed, match="in a file of"):
        tradier.read("CLX", [option()], 1, datetime(2026, 7, 24, 14, tzinfo=EASTERN))


def test_a_half_day_is_final_after_its_own_close():
    assert final_at(date(2025, 11, 28)) == datetime(2025, 11, 28, 13, 30, tzinfo=EASTERN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "options", "symbol", "timestamp", "option", "optionChain"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def attempt(read, *args):
    with contextlib.suppress(SourceMalformed):
        read(*args)


@given(JSON)
def test_any_json_gives_a_chain_or_a_typed_error(body):
    asked = datetime(2026, 7, 25, tzinfo=UTC)
    attempt(cboe.read, "CLX", body)
    attempt(lambda: yahoo.read("CLX", [yahoo.result("CLX", body)], asked))
    attempt(lambda: alpaca.read("CLX", alpaca.snapshots("CLX", body), asked))
    attempt(lambda: tradier.read("CLX", tradier.options("CLX", body), 1, asked))
    attempt(tradier.expirations, "CLX", body)
    attempt(alpaca.bars, body)
    attempt(alpaca.prints, body)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 305), field=st.integers(0, 21), value=JSON)
def test_a_mutated_recording_gives_a_chain_or_a_typed_error(clx, place, field, value):
    rows = list(clx["data"]["options"])
    names = list(rows[place])
    rows[place] = {**rows[place], names[field % len(names)]: value}
    attempt(cboe.read, "CLX", {**clx, "data": {**clx["data"], "options": rows}})
