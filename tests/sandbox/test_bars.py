"""Minute bars: the rule, and what is not a bar."""

from relentless.sandbox.bars import CONSOLIDATED, MINUTE_NS, RECORDED_TAPE, Trade, minute_bars


def trade(second: float, price: float, size: int = 100, *codes: str) -> Trade:
    return Trade(int(second * 1_000_000_000), price, size, codes or (" ",))


def test_volume_counts_every_trade_and_prices_only_those_that_may_move_them() -> None:
    trades = [trade(1, 10.0), trade(2, 12.0, 50, "F"), trade(3, 9.5, 50), trade(59, 9.9, 10)]
    (bar,) = minute_bars(trades, RECORDED_TAPE)
    assert (bar.open, bar.high, bar.low, bar.close) == (10.0, 10.0, 9.5, 9.9)
    assert (bar.volume, bar.count) == (210, 4)
    (swept,) = minute_bars(trades, CONSOLIDATED)
    assert swept.high == 12.0


def test_an_excluded_trade_counts_outside_the_session() -> None:
    (bar,) = minute_bars([trade(1, 10.0, 100, "F", "T")], RECORDED_TAPE)
    assert bar.close == 10.0


def test_a_minute_ends_where_the_next_one_begins() -> None:
    first, second = minute_bars([trade(59.999, 1.0), trade(60, 2.0)], RECORDED_TAPE)
    assert (first.start_ns, second.start_ns) == (0, MINUTE_NS)


def test_a_minute_without_a_price_has_no_bar() -> None:
    assert list(minute_bars([trade(1, 10.0, 100, "4")], RECORDED_TAPE)) == []
    assert list(minute_bars([], RECORDED_TAPE)) == []
