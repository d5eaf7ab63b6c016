"""Invented ticks: the same every time, in order, and shaped like a day."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from itertools import islice, pairwise
from typing import Any

import pytest

from relentless.configs.clock import EASTERN, from_ns, to_ns
from relentless.sandbox.bars import CONSOLIDATED, Trade, minute_bars
from relentless.sandbox.frames import Message, stamp
from relentless.sandbox.generator import GeneratedTape

DAY = date(2013, 10, 7)
SYMBOLS = ("IBM", "TLT")


def tape(symbols: tuple[str, ...] = SYMBOLS, seed: int = 20131007, last: date = DAY) -> Any:
    return GeneratedTape(symbols, DAY, last, seed)


@pytest.fixture(scope="module")
def day() -> list[Message]:
    """The whole day of two symbols."""
    return list(tape().play(0))


def body(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.text)
    return found


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(day: list[Message]) -> None:
    assert list(islice(tape().play(0), 5_000)) == day[:5_000]
    assert list(islice(tape(seed=1).play(0), 50)) != day[:50]


def test_a_late_start_gives_the_rest_of_the_same_day(day: list[Message]) -> None:
    for at in (1_000, len(day) // 2, len(day) - 10):
        after = day[at].ns
        rest = list(islice(tape().play(after), 400))
        assert rest == [message for message in day if message.ns > after][:400]
    assert list(tape().play(day[-1].ns)) == []


def test_a_symbol_does_not_depend_on_its_company(day: list[Message]) -> None:
    alone = list(tape(("TLT",)).play(0))
    assert alone == [message for message in day if message.symbol == "TLT"]


def test_messages_come_in_order_of_time(day: list[Message]) -> None:
    assert all(before.ns <= after.ns for before, after in pairwise(day))


def test_the_day_is_sparse_early_and_heavy_at_both_ends_of_the_session(day: list[Message]) -> None:
    ticks = [message for message in day if message.channel in {"trades", "quotes"}]
    hours = Counter(from_ns(message.ns).astimezone(EASTERN).hour for message in ticks)
    assert min(hours) == 4
    assert max(hours) == 19
    assert hours[4] < 0.3 * hours[12]
    assert hours[10] > hours[12] < hours[15]
    half_open = to_ns(datetime(2013, 10, 7, 9, 30, tzinfo=EASTERN))
    assert sum(message.ns < half_open for message in ticks) > 500


def test_prices_lie_on_the_cent_and_quotes_do_not_cross(day: list[Message]) -> None:
    for message in day[::7]:
        fields = body(message)
        if message.channel == "quotes":
            assert fields["bp"] < fields["ap"]
            assert fields["bs"] >= 100
        elif message.channel == "trades":
            assert round(fields["p"] * 100) == pytest.approx(fields["p"] * 100)
            assert fields["s"] >= 1
            assert isinstance(fields["c"], list)


def test_trade_ids_are_unique_and_times_are_utc_nanoseconds(day: list[Message]) -> None:
    trades = [body(message) for message in day if message.channel == "trades"]
    identities = Counter((trade["S"], trade["i"]) for trade in trades)
    assert max(identities.values()) == 1
    for message in day[:2_000:13]:
        if message.channel != "bars":
            assert body(message)["t"] == stamp(message.ns)
    moment = datetime(2013, 10, 7, 12, 0, tzinfo=UTC)
    assert stamp(to_ns(moment) + 1) == "2013-10-07T12:00:00.000000001Z"
    assert stamp(to_ns(moment)) == "2013-10-07T12:00:00Z"


def test_bars_are_made_of_the_trades_after_corrections() -> None:
    """A consumer who applies cancels and corrections gets the bars that are sent."""
    messages = list(tape(("JPM",)).play(0))
    trades: dict[int, Trade] = {}
    changed = 0
    for message in messages:
        fields = body(message)
        if message.channel == "trades":
            found = Trade(message.ns, fields["p"], fields["s"], fields["c"])
            trades[fields["i"]] = found
        elif message.channel == "cancelErrors":
            del trades[fields["i"]]
            changed += 1
        elif message.channel == "corrections":
            old = trades.pop(fields["oi"])
            trades[fields["ci"]] = old._replace(price=fields["cp"], size=fields["cs"])
            changed += 1
    assert changed > 0
    ordered = sorted(trades.values(), key=lambda trade: trade.ns)
    ours = {stamp(bar.start_ns): bar for bar in minute_bars(ordered, CONSOLIDATED)}
    sent = {body(m)["t"]: body(m) for m in messages if m.channel == "bars"}
    assert set(ours) == set(sent)
    for start, bar in ours.items():
        fields = sent[start]
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.count) == tuple(
            fields[name] for name in "ohlcvn"
        )


def test_a_tape_over_days_skips_the_weekend() -> None:
    friday_evening = to_ns(datetime(2013, 10, 11, 19, 59, 59, tzinfo=EASTERN))
    after = next(
        message
        for message in tape(("TLT",), last=date(2013, 10, 20)).play(friday_evening)
        if message.channel == "quotes" and message.ns > friday_evening + 2_000_000_000
    )
    assert from_ns(after.ns).astimezone(EASTERN).date() == date(2013, 10, 14)
