"""The compiled, incremental tick features against their formulas, said again slowly."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.models import features
from relentless.models.feature_spec import LIMIT, definition
from relentless.models.features import TICK_FEATURES, new_state, read_many, update_many

FLOOR, PLAUSIBLE, READY = 1e-6, 1e12, 64


def ew(values: list[float], span: float) -> float:
    mean = 0.0
    for k, value in enumerate(values, 1):
        a = max(2 / (span + 1), 1 / k)
        mean = (1 - a) * mean + a * value
    return mean


def ew_path(values: list[float], span: float) -> list[float]:
    return [ew(values[: k + 1], span) for k in range(len(values))]


def ew_var(values: list[float], span: float) -> float:
    mean, var = 0.0, 0.0
    for k, value in enumerate(values, 1):
        a = max(2 / (span + 1), 1 / k)
        var = (1 - a) * (var + a * (value - mean) ** 2)
        mean = (1 - a) * mean + a * value
    return var


def wilder(values: list[float]) -> float:
    mean = 0.0
    for k, value in enumerate(values, 1):
        a = max(1 / 14, 1 / k)
        mean = (1 - a) * mean + a * value
    return mean


def sd(span: float) -> float:
    a = 2 / (span + 1)
    return (1 - a) / math.sqrt(1 - (1 - a) ** 2)


def cut(value: float, limit: float = 8.0) -> float:
    return min(max(value, -limit), limit)


@dataclass
class History:
    """All that one symbol has seen."""

    price: list[float] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    ts: list[int] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)
    volumes: list[tuple[float, float]] = field(default_factory=list)  # volume, side
    traded: list[tuple[float, float]] = field(default_factory=list)  # price, volume
    quote: tuple[float, float] | None = None

    @property
    def r(self) -> list[float]:
        return [b - a for a, b in zip(self.x, self.x[1:], strict=False)]

    def side(self) -> float:
        moves = [r for r in self.r if r != 0]
        return math.copysign(1, moves[-1]) if moves else 0.0

    def position(self) -> float:
        if self.quote is None or not self.price or self.quote[0] == self.quote[1]:
            return 0.0
        bid, ask = self.quote
        return cut((self.price[-1] - (bid + ask) / 2) / ((ask - bid) / 2), 1)

    def take(
        self, ts: int, price: float, volume: float, bid: float, ask: float, not_last: bool
    ) -> None:
        if 0 < bid <= ask < PLAUSIBLE:
            self.quote = (bid, ask)
        priced = 0 < price < PLAUSIBLE and not not_last
        if priced:
            self.price.append(price)
            self.x.append(math.log(price))
            self.ts.append(ts)
            if self.quote:
                self.positions.append(self.position())
        if 0 < volume < PLAUSIBLE:
            self.volumes.append((volume, self.side()))
            if priced:
                self.traded.append((price, volume))

    def features(self) -> list[float]:
        x, r, m = self.x, self.r, max(0, len(self.x) - 1)
        v = {s: ew([q * q for q in r], s) + FLOOR**2 for s in (5, 32, 126, 504)}
        vol = {s: math.sqrt(v[s]) for s in v}
        sigma = vol[32]
        last = x[-1] if x else 0.0
        mean = {s: ew(x, s) for s in (5, 12, 21, 26, 63, 126)}
        out = [r[-1] / sigma if r else 0.0]
        out += [(last - mean[s]) / (sigma * sd(s)) for s in (5, 21, 63, 126)]
        out.append((mean[5] - mean[21]) / (sigma * math.sqrt(21)))
        out.append((mean[21] - mean[126]) / (sigma * math.sqrt(126)))
        lines = [a - b for a, b in zip(ew_path(x, 12), ew_path(x, 26), strict=True)]
        out.append((lines[-1] if x else 0.0) / (sigma * math.sqrt(26)))
        out.append(ew(lines, 9) / (sigma * math.sqrt(26)))
        g, f = wilder([max(q, 0) for q in r]), wilder([max(-q, 0) for q in r])
        out.append(2 * g / (g + f) - 1 if g + f > 0 else 0.0)
        out.append(abs(r[-1]) / sigma if r else 0.0)
        out += [math.log(vol[5] / sigma), math.log(sigma / vol[126])]
        out.append(math.log(vol[126] / vol[504]))
        falls = ew([min(q, 0) ** 2 for q in r], 126)
        out.append(2 * falls / v[126] - 1 if r else 0.0)
        out.append(ew([q**3 for q in r], 126) / vol[126] ** 3)
        fourth = ew([q**4 for q in r], 126) + FLOOR**4
        out.append(math.log(fourth / vol[126] ** 4) - math.log(3))
        lagged = ew([a * b for a, b in zip(r, [0.0, *r], strict=False)], 32)
        out.append(cut(lagged / v[32], 1))
        out += self._range(sigma)
        out += self._market(sigma)
        out.append(self._gap())
        out.append(min(1.0, m / READY))
        out += [float(self.quote is not None), float(bool(self.volumes))]
        return [cut(value) for value in out]

    def _range(self, sigma: float) -> list[float]:
        if not self.x:
            return [0.0, 0.0, 0.0]
        high = low = self.x[0]
        for x in self.x[1:]:
            high = max(x, high + (x - high) * 2 / 253)
            low = min(x, low + (x - low) * 2 / 253)
        x, scale = self.x[-1], sigma * math.sqrt(63)
        place = 2 * (x - low) / (high - low) - 1 if high > low else 0.0
        return [(x - high) / scale, (x - low) / scale, place]

    def _market(self, sigma: float) -> list[float]:
        out = [0.0] * 7
        if self.volumes:
            w = [math.log(volume) for volume, _ in self.volumes]
            unit = math.sqrt(ew_var(w, 63) + 1e-4)
            out[0] = (w[-1] - ew(w, 63)) / unit
            out[1] = (ew(w, 5) - ew(w, 63)) / unit
            total = ew([volume for volume, _ in self.volumes], 21)
            out[2] = ew([volume * side for volume, side in self.volumes], 21) / total
        if self.traded:
            vwap = ew([p * q for p, q in self.traded], 63) / ew([q for _, q in self.traded], 63)
            out[3] = (self.price[-1] / vwap - 1) / (sigma * sd(63))
        if self.quote:
            bid, ask = self.quote
            out[4] = math.log(1 + (ask - bid) / ((ask + bid) / 2) / sigma)
        out[5] = self.position()
        out[6] = ew(self.positions, 21)
        return out

    def _gap(self) -> float:
        steps = [max(0.0, (b - a) / 1e9) for a, b in zip(self.ts, self.ts[1:], strict=False)]
        return cut(math.log((steps[-1] + 1e-6) / (ew(steps, 63) + 1e-6)), 2) if steps else 0.0


START = 1_381_150_800_000_000_000

ticks = st.lists(
    st.fixed_dictionaries(
        {
            "symbol": st.integers(0, 2),
            "dt": st.one_of(st.integers(0, 10**9), st.integers(-(10**9), 10**14)),
            "ret": st.one_of(st.just(0.0), st.floats(-0.2, 0.2)),
            "volume": st.sampled_from([0.0, 0.0, 1.0, 100.0, 5e9, math.nan, -1.0, math.inf]),
            "half": st.sampled_from([None, 0.0, 0.0001, 0.02]),
            "mid": st.floats(-0.01, 0.01),
            "kind": st.sampled_from(["last"] * 6 + ["not_last", "quote", "bad"]),
        }
    ),
    min_size=1,
    max_size=90,
)


def columns(drawn):
    """Turn drawn steps into tick columns: each symbol's price walks by its drawn returns."""
    price, ts, rows = {0: 10.0, 1: 250.0, 2: 1e-4}, START, []
    for tick in drawn:
        symbol = tick["symbol"]
        ts += tick["dt"]
        price[symbol] *= math.exp(tick["ret"])
        shown = {"quote": 0.0, "bad": math.nan}.get(tick["kind"], price[symbol])
        mid = price[symbol] * math.exp(tick["mid"])
        bid, ask = (0.0, 0.0) if tick["half"] is None else (mid, mid * (1 + tick["half"]))
        rows.append((symbol, ts, shown, tick["volume"], bid, ask, tick["kind"] == "not_last"))
    return rows


def feed(state, rows):
    """Run rows through the compiled code; give the features after each."""
    symbol, ts, price, volume, bid, ask, not_last = (np.array(c) for c in zip(*rows, strict=True))
    out = np.full((len(rows), len(TICK_FEATURES)), np.nan, np.float32)
    update_many(
        state,
        symbol.astype(np.int64),
        ts.astype(np.int64),
        price.astype(np.float64),
        volume.astype(np.float64),
        bid.astype(np.float64),
        ask.astype(np.float64),
        not_last.astype(np.bool_),
        out,
    )
    return out


def walk(count, seed=7, symbol=0, scale=0.01):
    """Give rows of one symbol's random walk, with volume and quote."""
    rng = np.random.default_rng(seed)
    price = 100 * np.exp(np.cumsum(rng.normal(0, scale, count)))
    return [
        (symbol, START + i * 10**9, p, float(rng.integers(1, 900)), p * 0.9999, p * 1.0001, False)
        for i, p in enumerate(price)
    ]


@given(ticks)
@settings(max_examples=60, deadline=None)
def test_the_compiled_features_equal_their_formulas(drawn):
    rows = columns(drawn)
    out = feed(new_state(3), rows)
    histories = [History() for _ in range(3)]
    for row, got in zip(rows, out, strict=True):
        histories[row[0]].take(*row[1:])
        wanted = histories[row[0]].features()
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4)


def test_the_formulas_hold_over_a_long_history():
    rows = walk(700)
    out = feed(new_state(1), rows)
    history = History()
    for row in rows:
        history.take(*row[1:])
    np.testing.assert_allclose(out[-1], history.features(), rtol=1e-4, atol=1e-5)


@given(ticks, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_other_symbols_change_nothing(drawn, random):
    rows = columns(drawn)
    alone = {s: feed(new_state(3), [r for r in rows if r[0] == s]) for s in {r[0] for r in rows}}
    queues = {s: [r for r in rows if r[0] == s] for s in alone}
    shuffled = []
    while any(queues.values()):
        shuffled.append(queues[random.choice([s for s in queues if queues[s]])].pop(0))
    together = feed(new_state(3), shuffled)
    for symbol, wanted in alone.items():
        mine = together[[r[0] == symbol for r in shuffled]]
        assert mine.tobytes() == wanted.tobytes()


@given(ticks, st.integers(0, 89))
@settings(max_examples=40, deadline=None)
def test_batches_of_any_size_give_the_same_bytes(drawn, at):
    rows = columns(drawn)
    at %= len(rows)
    state = new_state(3)
    parts = [feed(state, part) for part in (rows[:at], rows[at:]) if part]
    assert np.concatenate(parts).tobytes() == feed(new_state(3), rows).tobytes()


@given(
    st.lists(
        st.tuples(st.integers(-(2**62), 2**62), *[st.floats(width=64)] * 4, st.booleans()),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_no_input_makes_a_feature_that_is_not_finite(drawn):
    state = new_state(1)
    out = feed(state, [(0, *row) for row in drawn])
    after = feed(state, walk(100))
    for rows in (out, after):
        assert np.isfinite(rows).all()
        assert np.abs(rows).max() <= LIMIT


def test_features_are_free_of_the_scale_of_price_and_clock():
    rows = walk(200)
    scaled = [
        (s, START + (t - START) * 86_400, p * 1000, v * 50, b * 1000, a * 1000, n)
        for s, t, p, v, b, a, n in rows
    ]
    np.testing.assert_allclose(
        feed(new_state(1), rows)[-1], feed(new_state(1), scaled)[-1], atol=2e-4
    )


def test_a_quote_alone_moves_the_quote_columns_only():
    state = new_state(1)
    before = feed(state, walk(100))[-1]
    features.update_quote(state, 0, 50.0, 50.5)
    after = np.empty((1, len(TICK_FEATURES)), np.float32)
    read_many(state, np.array([0]), after)
    moved = {n for n, a, b in zip(TICK_FEATURES, before, after[0], strict=True) if a != b}
    assert moved == {"spread", "quote_position"}
    features.update_quote(state, 0, 51.0, 50.5)  # crossed: passed over
    again = np.empty_like(after)
    read_many(state, np.array([0]), again)
    assert again.tobytes() == after.tobytes()


def test_a_symbol_is_ready_after_its_returns_and_not_before():
    state = new_state(2)
    feed(state, walk(features.READY_RETURNS))
    assert not features.ready(state, 0)
    out = feed(state, walk(1))
    assert features.ready(state, 0) and not features.ready(state, 1)
    assert out[-1, TICK_FEATURES.index("warm")] == 1.0


def test_wrong_ids_and_lengths_are_refused_and_nothing_is_updated():
    state = new_state(2)
    good = walk(3)
    with pytest.raises(IndexError, match="outside the state"):
        feed(state, [*good, (2, *good[0][1:])])
    with pytest.raises(IndexError, match="outside the state"):
        feed(state, [*good, (-1, *good[0][1:])])
    with pytest.raises(IndexError, match="outside the state"):
        features.update_quote(state, 2, 1.0, 2.0)
    with pytest.raises(ValueError, match="another number of columns"):
        feed(state[:, :5].copy(), good)
    with pytest.raises(ValueError, match="differ in length"):
        read_many(state, np.array([0, 1]), np.empty((1, len(TICK_FEATURES)), np.float32))
    assert not state.any()


def test_the_names_the_formulas_and_the_digest_belong_together(monkeypatch):
    assert len(set(TICK_FEATURES)) == len(TICK_FEATURES) == features.FEATURES == 32
    assert all(definition(name) for name in TICK_FEATURES)
    digest = features.feature_digest()
    assert len(digest) == 64
    monkeypatch.setattr("relentless.models.feature_spec.DEFINITION_VERSION", 999)
    assert features.feature_digest() != digest
