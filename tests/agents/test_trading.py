"""The paper trading agent: limits, exits, what it ignores, and a blotter that survives."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.blotter import Book, Fill, Why
from relentless.agents.trading import Blotter, TradingAgent
from relentless.configs.clock import ManualClock
from relentless.models.levels import K_STOP, K_TARGET
from relentless.proto.signal import Action, Flag, Signal
from relentless.serving.clients.feed import FeedClient, Heartbeat, Received
from relentless.store.journal import open_journal

SIGMA = 1e-3


def signal(
    sequence: int, action: Action, size: float, price: float, flags: Flag = Flag.NONE
) -> Signal:
    """Give a signal as the policy would at a price."""
    side = {Action.BUY: 1, Action.SELL: -1, Action.HOLD: 0}[action]
    target, stop = price * (1 + side * K_TARGET * SIGMA), price * (1 - side * K_STOP * SIGMA)
    return Signal(
        1_000 + sequence, 1, action, 0.5, target, stop, size, 10, 0, 1, sequence, 1, 1, flags
    )


def new_book() -> Book:
    return Book(cash=100_000.0, max_notional=10_000.0)


def test_a_buy_a_smaller_buy_and_a_sell() -> None:
    book = new_book()
    (bought,) = book.take("s", "SPY", signal(1, Action.BUY, 0.5, 100.0))
    assert (bought.quantity, bought.position, bought.average) == (50, 50, 100.0)
    assert book.cash == 95_000.0
    assert book.take("s", "SPY", signal(2, Action.BUY, 0.52, 100.0)) == []  # inside the dead band
    (less,) = book.take("s", "SPY", signal(3, Action.BUY, 0.2, 101.0))
    assert (less.quantity, less.position, less.realised) == (-31, 19, 31.0)
    (turned,) = book.take("s", "SPY", signal(4, Action.SELL, -0.3, 101.0))
    assert (turned.position, turned.average, turned.realised) == (-29, 101.0, 19.0)
    assert book.equity() == pytest.approx(100_050.0)
    assert book.realised + book.unrealised() == pytest.approx(50.0)


def test_hold_changes_nothing_and_marks_to_its_price() -> None:
    book = new_book()
    book.take("s", "SPY", signal(1, Action.BUY, 1.0, 100.0))
    assert book.take("s", "SPY", signal(2, Action.HOLD, 0.0, 100.5)) == []
    assert book.positions["SPY"].quantity == 100
    assert book.unrealised() == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("action", "price", "why"),
    [
        (Action.BUY, 102.1, Why.TARGET),
        (Action.BUY, 98.9, Why.STOP),
        (Action.SELL, 97.9, Why.TARGET),
        (Action.SELL, 101.1, Why.STOP),
    ],
)
def test_a_position_is_left_at_its_target_and_at_its_stop(
    action: Action, price: float, why: Why
) -> None:
    book = new_book()
    book.take("s", "SPY", signal(1, action, 1.0 if action is Action.BUY else -1.0, 100.0))
    (left,) = book.take("s", "SPY", signal(2, Action.HOLD, 0.0, price))
    assert (left.why, left.position) == (why, 0)
    assert (left.realised > 0) == (why is Why.TARGET)


@pytest.mark.parametrize("flag", [Flag.STALE, Flag.REPLAY, Flag.HALTED])
def test_what_is_not_of_now_is_not_traded(flag: Flag) -> None:
    book = new_book()
    assert book.take("s", "SPY", signal(1, Action.BUY, 1.0, 100.0, flag)) == []
    assert (book.fills, book.ignored, book.cash) == (0, 1, 100_000.0)


moves = st.lists(
    st.tuples(
        st.sampled_from(["SPY", "XLF", "TLT"]),
        st.sampled_from(list(Action)),
        st.floats(-3, 3, allow_nan=False),
        st.floats(1, 1_000),
    ),
    max_size=60,
)


@pytest.mark.promise("P10")
@settings(deadline=None)
@given(moves)
def test_no_stream_of_signals_breaks_the_limits(
    stream: list[tuple[str, Action, float, float]],
) -> None:
    book = new_book()
    for n, (symbol, action, size, price) in enumerate(stream, start=1):
        for fill in book.take("s", symbol, signal(n, action, size, price)):
            opened = abs(fill.position) > abs(fill.position - fill.quantity)
            if opened or fill.position * (fill.position - fill.quantity) < 0:
                assert abs(fill.position) * fill.price <= book.max_notional + 1e-6
                own = book.positions[symbol]
                others = book.gross() - abs(own.quantity) * own.last
                assert abs(fill.position) * fill.price + others <= max(others, book.equity() + 1e-6)
        assert book.equity() == pytest.approx(
            book.cash + sum(p.quantity * p.last for p in book.positions.values())
        )
    profit = book.realised + book.unrealised()
    assert book.equity() - 100_000.0 == pytest.approx(profit, abs=1e-6)


async def test_the_blotter_brings_the_book_back(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2013, 10, 7, 14, tzinfo=UTC))
    journal = await open_journal(tmp_path / "journal.db", clock)
    book, blotter = new_book(), Blotter(journal)
    agent = TradingAgent(FeedClient("127.0.0.1:1", "key"), book, blotter)
    agent._feed.symbols[1] = "SPY"
    for n, (action, size, price) in enumerate(
        [(Action.BUY, 0.5, 100.0), (Action.SELL, -0.5, 101.0), (Action.BUY, 1.0, 99.0)], start=1
    ):
        one = signal(n, action, size, price)
        agent.take(Received("s", one, one.pack()))
    assert book.fills == 3
    await blotter.flush()
    again = new_book()
    await blotter.restore(again)
    await journal.close()
    assert (again.cash, again.fills) == (book.cash, 3)
    assert again.realised == pytest.approx(book.realised)
    assert again.positions["SPY"] == book.positions["SPY"]


def test_a_halted_feed_is_noticed() -> None:
    agent = TradingAgent(FeedClient("127.0.0.1:1", "key"), new_book(), Blotter(None))  # type: ignore[arg-type]
    beat = signal(0, Action.HOLD, 0.0, 1.0, Flag.HEARTBEAT | Flag.HALTED)
    agent.take(Heartbeat("s", beat, halted=True))
    assert agent.summary()["halted"]


def test_a_fill_says_whether_it_came_of_synthetic_input() -> None:
    (fill,) = new_book().take("s", "SPY", signal(1, Action.BUY, 1.0, 100.0, Flag.SYNTHETIC))
    assert isinstance(fill, Fill)
    assert fill.synthetic
