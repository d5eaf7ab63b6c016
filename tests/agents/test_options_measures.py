"""What a chain measures: Greeks beside another library, smiles, ratios, blocks and the score."""

import csv
import io
import itertools
import json
import math
import statistics
import zipfile
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vollib.black_scholes_merton.greeks import analytical

from relentless.agents.options import cboe, measures
from relentless.agents.options.alpaca import Print
from relentless.agents.options.chain import Contract, assemble, implied
from relentless.agents.options.greeks import complete, greeks
from relentless.agents.options.history import History, Kept, Session
from relentless.agents.options.measures import Sides
from relentless.agents.options.score import WEIGHTS, parts, score
from relentless.agents.options.smile import interpolate, smile
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput

GRID = list(
    itertools.product(
        ("C", "P"), (60.0, 90.0, 100.0, 130.0), (0.02, 0.25, 2.0), (0.08, 0.3, 1.2), (0.0, 0.04)
    )
)


@pytest.mark.parametrize("name", ["delta", "gamma", "vega", "theta", "rho"])
def test_every_greek_is_vollibs_to_a_millionth(name):
    other = getattr(analytical, name)
    for right, strike, years, iv, rate in GRID:
        for dividend in (0.0, 0.02):
            ours = getattr(greeks(right, 100.0, strike, years, iv, rate, dividend), name)
            theirs = other(right.lower(), 100.0, strike, years, rate, iv, dividend)
            assert ours == pytest.approx(theirs, abs=1e-6), (right, strike, years, iv, rate)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_greeks_of_unknown_inputs_are_refused(bad):
    for place in range(4):
        inputs = [100.0, 100.0, 0.5, 0.2]
        inputs[place] = bad
        with pytest.raises(InvalidInput):
            greeks("C", *inputs)


def test_cboes_greeks_are_near_ours_for_options_that_are_hardly_exercised_early(recordings):
    # American contracts on a share that yields five per cent; Cboe's rate and yield are not told.
    body = json.loads((recordings / "options/cboe_options_CLX.json").read_bytes())
    chain = cboe.read("CLX", body)
    off = []
    for c in chain.contracts:
        if c.iv is not None and 0.1 < abs(c.delta) < 0.9:
            years = (c.expiry - chain.session).days / 365
            found = greeks(c.right, chain.spot, c.strike, years, c.iv, 0.04, 0.05)
            off.append(abs(found.delta - c.delta))
    assert len(off) == 138
    assert statistics.median(off) < 0.03
    assert max(off) < 0.1


def test_the_zeros_of_a_recorded_universe_are_unknown_and_not_volatilities(recordings):
    text = (recordings / "options/lean_AAPL_universe_20140606.csv").read_text()
    rows = list(csv.reader(io.StringIO(text)))[2:]
    assert len(rows) > 2_000
    assert {float(row[9]) for row in rows} == {0.0}
    assert {implied(float(row[9])) for row in rows} == {None}


NOW = datetime(2026, 7, 24, 20, tzinfo=EASTERN)
TRADED = datetime(2026, 7, 24, 15, tzinfo=EASTERN)


def contract(right, strike, days=30, **more):
    expiry = date(2026, 7, 24) + timedelta(days=days)
    name = f"X{expiry:%y%m%d}{right}{round(strike * 1000):08d}"
    known = {"volume": 100, "last_trade": TRADED} | more
    return Contract(name, expiry, right, strike, **known)


def chain(*contracts, spot=100.0):
    return assemble("cboe", "X", contracts, made_at=NOW, spot=spot)


def test_a_flat_volatility_has_no_skew_and_no_term():
    grid = itertools.product(
        "CP", (70.0, 80.0, 90.0, 95.0, 100.0, 105.0, 110.0, 120.0, 140.0), (20, 50, 80, 120)
    )
    shape = smile(complete(chain(*(contract(r, k, d, iv=0.3) for r, k, d in grid))))
    assert shape.atm == pytest.approx(0.3)
    assert shape.term == pytest.approx(0.0, abs=1e-12)
    assert shape.skew == pytest.approx(0.0, abs=1e-12)
    assert shape.skew_moneyness == pytest.approx(0.0, abs=1e-12)


def test_puts_dearer_than_calls_are_a_positive_skew():
    rows = [contract("P", k, iv=0.4, delta=-d) for k, d in ((90, 0.2), (95, 0.3))]
    rows += [contract("C", k, iv=0.3, delta=d) for k, d in ((105, 0.3), (110, 0.2))]
    assert smile(chain(*rows)).skew == pytest.approx(0.1)


def test_term_is_interpolated_in_total_variance():
    rows = [
        contract(r, k, d, iv=v) for r in "CP" for k in (99, 101) for d, v in ((20, 0.2), (40, 0.4))
    ]
    total = (0.2**2 * 20 + 0.4**2 * 40) / 2
    assert smile(chain(*rows)).atm == pytest.approx(math.sqrt(total / 30))


def test_nothing_is_extrapolated():
    assert interpolate([(1.0, 5.0), (2.0, 6.0)], 0.99) is None
    assert interpolate([(1.0, 5.0), (2.0, 6.0)], 1.25) == 5.25
    assert smile(chain(contract("C", 101, 20, iv=0.2), contract("P", 99, 20, iv=0.2))).atm is None


def test_without_a_stated_price_parity_gives_one():
    rows = [contract("C", 100, bid=5.0, ask=5.2), contract("P", 100, bid=2.9, ask=3.1)]
    assert chain(*rows, spot=None).spot == pytest.approx(102.1)


def test_a_ratio_over_next_to_nothing_is_unknown():
    assert Sides(99, 5_000).ratio is None
    assert Sides(100, 5_000).ratio == 50
    assert Sides(0, 0).balance is None
    assert measures.open_interest(chain(contract("C", 100))) is None


@given(st.integers(200, 10**6), st.integers(200, 10**6))
def test_the_balance_is_the_hyperbolic_tangent_of_half_the_log_ratio(calls, puts):
    sides = Sides(calls, puts)
    assert sides.balance == pytest.approx(-math.tanh(sides.log_ratio / 2), abs=1e-9)


def test_volume_above_yesterdays_open_interest_is_opening():
    rows = [
        contract("C", k, volume=500, open_interest=100, bid=1.9, ask=2.1) for k in (100, 105, 110)
    ]
    rows.append(contract("P", 90, volume=500, open_interest=500, bid=1.0, ask=1.2))
    found = measures.opening(chain(*rows))
    assert found.contracts == 3
    assert found.premium.calls == pytest.approx(3 * 400 * 2.0 * 100)
    assert found.balance == 1.0
    assert measures.opening(chain(*rows[2:])).balance is None


def test_unusual_needs_enough_sessions_that_differ():
    today = Sides(600, 400)
    days = [date(2026, 6, 1) + timedelta(days=n) for n in range(20)]
    varied = {day: Sides(50 + n, 50) for n, day in enumerate(days)}
    logs = [math.log(100 + n) for n in range(20)]
    expected = (math.log(1000) - statistics.fmean(logs)) / statistics.stdev(logs)
    assert measures.unusual(today, varied) == pytest.approx(expected)
    assert measures.unusual(today, dict(list(varied.items())[:14])) is None
    assert measures.unusual(today, dict.fromkeys(days, Sides(50, 50))) is None


def test_blocks_are_counted_in_googs_recorded_trades(recordings):
    prints = []
    with zipfile.ZipFile(recordings / "options/lean_GOOG_20151224_minute_trades.zip") as archive:
        for name in archive.namelist():
            for row in csv.reader(io.StringIO(archive.read(name).decode())):
                at = datetime(2015, 12, 24, tzinfo=UTC) + timedelta(milliseconds=int(row[0]))
                prints.append(Print(name, at, int(row[5]), int(row[4]) / 10_000))
    assert len(prints) == 958
    assert sum(p.size for p in prints) == 7_471
    assert measures.blocks(prints) == (2, 250 + 283)  # and one minute of 248


Z = st.none() | st.floats(-50, 50)
B = st.none() | st.floats(-1, 1)


@given(balance=B, ratio_change=Z, opening=B, skew_change=Z)
def test_a_score_is_within_its_parts_and_needs_one_of_volume(
    balance, ratio_change, opening, skew_change
):
    found = parts(
        balance=balance, ratio_change=ratio_change, opening=opening, skew_change=skew_change
    )
    result = score(found)
    if balance is ratio_change is opening is None:
        assert result is None
    else:
        assert min(found.values()) - 1e-6 <= result <= max(found.values()) + 1e-6
    assert set(found) <= set(WEIGHTS)


@given(
    st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.floats(-1, 1), min_size=1),
    st.sampled_from(sorted(WEIGHTS)),
    st.floats(-1, 1),
)
def test_a_larger_part_never_lowers_the_score(found, name, value):
    if name not in found or score(found) is None:
        return
    low, high = sorted((found[name], value))
    assert score({**found, name: low}) <= score({**found, name: high})


def test_the_score_weighs_its_parts_as_documented():
    assert score({"put_call": 0.5}) == 0.5
    assert score({"put_call": 1.0, "skew_change": -1.0}) == pytest.approx((0.4 - 0.1) / 0.5)
    assert math.fsum(WEIGHTS.values()) == pytest.approx(1.0)


def test_the_history_holds_sixty_sessions_and_compares_only_earlier_ones(tmp_path):
    kept = Kept()
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(70)]
    for day in days:
        kept.sessions[day] = Session(100, 50, None)
    history = History(tmp_path, "X", "cboe here")
    history.write(kept)
    again = history.read()
    assert sorted(again.sessions) == days[10:]
    assert max(again.before(days[40])) == days[39]
    assert History(tmp_path, "X", "cboe there").read() == Kept()
    next(tmp_path.rglob("X.json")).write_bytes(b"{")
    assert history.read() == Kept()
