"""``predict_signal`` and ``get_signals``: what is answered, and what is never fed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from relentless.mcp_server.feed_tap import PER_SECOND, RING, FeedTap
from relentless.mcp_server.inference import ModelInference
from relentless.mcp_server.server import Hub
from relentless.proto.errors import InvalidFrame, ModelUnavailable, NotFound
from relentless.proto.signal import Action, Flag, Signal
from relentless.serving.clients import feed
from relentless.serving.ports import Array, Embedded

from .helpers import client


def frame(sequence: int, symbol_id: int = 1, flags: Flag = Flag.SYNTHETIC) -> bytes:
    return Signal(
        timestamp=1_381_152_600_000_000_000 + sequence,
        symbol_id=symbol_id,
        action=Action.BUY,
        confidence=0.5,
        price_target=170.0,
        stop_loss=160.0,
        position_size=0.25,
        risk_score=7,
        urgency=9,
        strategy_id=1,
        sequence=sequence,
        context_id=0xABCD,
        model_version=1,
        flags=flags,
    ).pack()


class FixedModel:
    """A model server that always says the same."""

    def __init__(self) -> None:
        self.features: Array | None = None

    def labels(self) -> Mapping[str, int]:
        return {"stable": 1}

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        assert context_vector.dtype == np.float32
        empty = np.zeros(64, np.float32)
        return Embedded(context_id, version, empty, empty)

    def predict(self, features: Array, context: Embedded) -> Array:
        self.features = features
        return np.array([[0.9, 1.5, 1.0, 0.1]], np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FixedModel:
    fixed = FixedModel()
    monkeypatch.setattr(ModelInference, "_connected", lambda _: fixed)
    return fixed


async def test_a_prediction_is_the_signal_of_one_tick_and_not_on_the_feed(
    hub: Hub, model: FixedModel
) -> None:
    context = await hub.contexts.build(None)
    prices = [168.0 + 0.01 * n for n in range(100)]
    async with client(hub, "reader") as connected:
        arguments = {"symbol": "SPY", "price": 169.0, "bid": 168.99, "ask": 169.01}
        answer = await connected.call_tool("predict_signal", arguments | {"history": prices})
        fed = await connected.call_tool("get_signals", {})
    said = answer.structured_content
    decoded = Signal.unpack(bytes.fromhex(said["frame"]))
    assert (decoded.sequence, said["sequence"]) == (0, 0)
    assert decoded.context_id == context.short_id == int(said["context_id"], 16)
    assert (said["symbol"], said["action"], said["model_version"]) == ("SPY", "buy", 1)
    assert decoded.stop_loss < 169.0 < decoded.price_target
    assert model.features is not None
    assert model.features.shape[0] == 1
    assert np.isfinite(model.features).all()
    assert fed.structured_content["signals"] == []


async def test_without_a_context_there_is_nothing_to_predict_under(
    hub: Hub, model: FixedModel
) -> None:
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("predict_signal", {"symbol": "SPY", "price": 169.0})
    assert answer.structured_content["error"]["code"] == NotFound.code


async def test_a_model_server_that_is_gone_is_said_and_may_be_tried_again(
    hub: Hub, model: FixedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> Any:
        raise ModelUnavailable("the model server does not answer")

    monkeypatch.setattr(FixedModel, "labels", gone)
    await hub.contexts.build(None)
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("predict_signal", {"symbol": "SPY", "price": 169.0})
    error = answer.structured_content["error"]
    assert (error["code"], error["retryable"]) == ("model_unavailable", True)


@pytest.mark.parametrize("price", [0, -1, float("nan"), float("inf"), "abc", None])
async def test_a_price_that_is_none_is_refused(hub: Hub, price: Any) -> None:
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("predict_signal", {"symbol": "SPY", "price": price})
    assert answer.structured_content["error"]["code"] == "invalid_input"


def tap(changed: list[None] | None = None) -> FeedTap:
    seen: list[None] = [] if changed is None else changed
    return FeedTap(lambda: "a.b", lambda: seen.append(None))


async def test_signals_are_paged_by_sequence_and_symbol_and_bounded() -> None:
    changed: list[None] = []
    made = tap(changed)
    names = {1: "SPY", 2: "XLF"}
    for sequence in range(1, RING + 11):
        made.take("s1", frame(sequence, 1 + sequence % 2), names)
    assert len(changed) == RING + 10
    newest = made.page(after=0, limit=3, symbol=None)
    assert [signal.sequence for signal in newest.signals] == [RING + 8, RING + 9, RING + 10]
    following = made.page(after=RING + 8, limit=10, symbol="XLF")
    assert [signal.sequence for signal in following.signals] == [RING + 9]
    assert made.page(after=RING + 10, limit=5, symbol=None).next_after == RING + 10
    (first, *_) = made.page(after=1, limit=1, symbol=None).signals
    assert first.sequence == 11
    assert (first.flags, first.action) == (["synthetic"], "buy")
    assert made.symbols == {"SPY": 1, "XLF": 2}


async def test_a_damaged_frame_is_not_shown() -> None:
    made = tap()
    with pytest.raises(InvalidFrame):
        made.take("s1", frame(1)[:-1] + b"\0", {1: "SPY"})
    assert made.page(after=0, limit=10, symbol=None).signals == []


async def test_it_follows_the_feed_that_a_predictor_names_and_takes_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: asyncio.Queue[str] = asyncio.Queue()

    class Flood:
        """A feed that never ends."""

        symbols = {1: "SPY"}  # noqa: RUF012 - a stand-in

        def __init__(self, address: str, credential: str, tls: object) -> None:
            opened.put_nowait(address)

        async def __aenter__(self) -> "Flood":
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def __aiter__(self) -> Any:
            yield feed.SessionStarted("s1", "", 1)
            sequence = 0
            while True:
                sequence += 1
                raw = frame(sequence)
                yield feed.Received("s1", Signal.unpack(raw), raw)

    monkeypatch.setattr(feed, "FeedClient", Flood)
    monkeypatch.setattr("relentless.mcp_server.feed_tap.AGAIN_S", 0.0)
    made = tap()
    task = asyncio.create_task(made.run())
    made.follow({"ticks": 1})
    made.follow({"feed": "127.0.0.1:1"})
    async with asyncio.timeout(60):
        assert await opened.get() == "127.0.0.1:1"
        assert await opened.get() == "127.0.0.1:1"  # it let go, and came again
    assert made.page(after=0, limit=1, symbol=None).session == "s1"
    assert made.page(after=0, limit=1, symbol=None).signals[-1].sequence <= PER_SECOND
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
