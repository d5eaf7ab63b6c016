"""``predict_signal``: one tick's features under the newest context, through the model server.

Everything heavy (numpy, numba, gRPC) is imported with the first question and runs in a thread.
Prices without times are taken as one second apart, the last one now.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relentless.configs.clock import Clock
from relentless.configs.tick_path import ModelServerSettings
from relentless.mcp_server.feed_tap import emitted
from relentless.proto.daily import DailyContext
from relentless.proto.errors import ModelRejected, NotFound
from relentless.tools.ports import Emitted

if TYPE_CHECKING:
    from relentless.serving.ports import Predictor

SECOND_NS = 1_000_000_000


class ModelInference:
    """Asks the model server; satisfies ``tools.ports.Inference``."""

    def __init__(
        self,
        settings: ModelServerSettings,
        clock: Clock,
        latest: Callable[[], DailyContext | None],
        symbols: Callable[[], Mapping[str, int]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._latest = latest
        self._symbols = symbols
        self._client: Predictor | None = None
        self._one = threading.Lock()
        """The client is not safe for concurrent use."""

    async def predict(
        self, symbol: str, prices: Sequence[float], bid: float | None, ask: float | None
    ) -> Emitted:
        """Predict under the newest context; the signal is not on the feed."""
        context = self._latest()
        if context is None:
            raise NotFound("no daily context was built yet; build_daily_context builds one")
        symbol_id = self._symbols().get(symbol, 0)
        return await asyncio.to_thread(
            self._ask, context, symbol, symbol_id, list(prices), bid or 0.0, ask or 0.0
        )

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(
        self,
        context: DailyContext,
        symbol: str,
        symbol_id: int,
        prices: list[float],
        bid: float,
        ask: float,
    ) -> Emitted:
        from relentless.models.context_vector import vectorise
        from relentless.proto.signal import Action, Flag, Signal
        from relentless.serving.backends import answer_of

        now_ns = self._clock.now_ns()
        features, tracker = _features(prices, bid, ask, now_ns)
        with self._one:
            client = self._connected()
            version = client.labels().get("stable")
            if version is None:
                raise ModelRejected("no version of the model is labelled stable")
            embedded = client.encode(vectorise(context), context.short_id, version)
            answer = answer_of(client, features, embedded)
        heads = answer.heads[0].tolist()
        decided = _decided(heads, prices[-1], bid, ask, tracker)
        signal = Signal(
            timestamp=now_ns,
            symbol_id=symbol_id,
            action=Action(decided.action),
            confidence=decided.confidence,
            price_target=decided.price_target,
            stop_loss=decided.stop_loss,
            position_size=decided.position_size,
            risk_score=decided.risk_score,
            urgency=decided.urgency,
            strategy_id=0,
            sequence=0,
            context_id=context.short_id,
            model_version=version,
            flags=Flag.FAILOVER if answer.failover else Flag.NONE,
        )
        frame = signal.pack()
        return emitted("", symbol, Signal.unpack(frame), frame)

    def _connected(self) -> "Predictor":
        if self._client is None:
            from relentless.serving.backends import client

            self._client = client(self._settings)
        return self._client


def _features(prices: list[float], bid: float, ask: float, now_ns: int) -> tuple[Any, Any]:
    """Give the features [1, F] after the last price, and the volatility tracker's row."""
    import numpy as np

    from relentless.models import features, policy
    from relentless.models.feature_spec import TICK_FEATURES

    count = len(prices)
    times = now_ns - SECOND_NS * np.arange(count - 1, -1, -1, dtype=np.int64)
    column = np.asarray(prices, np.float64)
    quotes = np.zeros((2, count))
    quotes[:, -1] = bid, ask
    out = np.zeros((count, len(TICK_FEATURES)), np.float32)
    features.update_many(
        features.new_state(1),
        np.zeros(count, np.int64),
        times,
        column,
        np.zeros(count),
        quotes[0],
        quotes[1],
        np.zeros(count, np.bool_),
        out,
    )
    tracker = policy.new_tracker(1)[0]
    for at, price in zip(times, prices, strict=True):
        policy.track(tracker, int(at), price, False)
    return out[-1:], tracker


def _decided(heads: Sequence[float], price: float, bid: float, ask: float, tracker: Any) -> Any:
    """Give the policy's decision on one tick's heads."""
    from relentless.models import policy

    p_up, expected, ratio, risk = heads
    return policy.Decision(
        *policy.decide(
            p_up,
            expected,
            ratio,
            risk,
            price,
            policy.half_spread(bid, ask),
            policy.sigma_of(tracker),
            float(tracker[4]),
            policy.HOLD,
            policy.PolicyLimits(),
        )
    )


def warm_up() -> None:
    """Compile, or load from the cache, what a question passes."""
    _, tracker = _features([100.0, 100.0], 0.0, 0.0, 2 * SECOND_NS)
    _decided((0.5, 0.0, 1.0, 0.0), 100.0, 0.0, 0.0, tracker)
