"""What the measurements of the tick path are built from: a lane, its ticks, a core, a verifier.

Nothing is measured here. The lane, the model and the codec are the product's own; the context is an
empty one (every feature masked), which costs the same. The ticks are synthetic.
"""

import os
from datetime import UTC, datetime
from typing import Any

import numpy as np

from relentless.configs.settings import Settings
from relentless.models.feature_spec import READY_RETURNS
from relentless.proto.daily import DailyContext
from relentless.proto.tick import TICK_DTYPE, TICK_SIZE
from relentless.serving.engine import InProcessEngine
from relentless.serving.pipeline import CAPACITY, Lane, activate
from relentless.store.ports import Principal, Role

WARM_TICKS = READY_RETURNS + 6
START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
TICK_NS = 1_000_000
"""From one tick's own time to the next one's."""


class Anybody:
    """A verifier that knows one trader: keys are not what is measured."""

    def verify(self, credential: str) -> Principal:
        """Take whoever comes."""
        return Principal("bench", Role.TRADER, "bench", frozenset())


def lane(symbols: int = 10) -> Lane:
    """Give a lane joined to an empty context; each symbol has seen enough ticks to count."""
    settings = Settings()
    engine = InProcessEngine(settings.paths.models / settings.model_server.name)
    made = Lane(engine, str, symbols=symbols, signals_per_s=50_000_000)
    day = datetime(2013, 10, 7, 9, 25, tzinfo=UTC)
    empty = DailyContext(
        as_of=day,
        trading_date=day.date(),
        context_id="ab" * 32,
        fold_version=0,
        head=0,
        provenance={},
    )
    made.use(activate(engine, empty))
    early = ticks(symbols * WARM_TICKS, symbols, start=datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
    for at in range(0, len(early), CAPACITY):
        made.process(early[at : at + CAPACITY], now_ns=now_ns(), refuse=lambda: 0)
    return made


def ticks(count: int, symbols: int = 10, start: datetime = START) -> np.ndarray[Any, Any]:
    """Give a random walk as packed ticks, shape [count, 48]; synthetic."""
    random = np.random.default_rng(7)
    made = np.zeros(count, TICK_DTYPE)
    made["ts_event"] = int(start.timestamp() * 1e9) + np.arange(count) * TICK_NS
    made["symbol_id"] = 1 + np.arange(count) % symbols
    price = 100 * np.exp(np.cumsum(random.normal(0, 1e-5, count)))
    made["price"] = np.round(price, 2)
    made["bid"], made["ask"] = made["price"] - 0.01, made["price"] + 0.01
    made["volume"] = 100 * random.integers(1, 20, count)
    return made.view(np.uint8).reshape(count, TICK_SIZE)


def now_ns() -> int:
    """Market time of every step here: noon of the day."""
    return int(datetime(2013, 10, 7, 16, 0, tzinfo=UTC).timestamp() * 1e9)


def pin(place: int) -> None:
    """Stay on one core, where the system allows it: the client on the first, a server on the last.

    Left alone, the scheduler puts a ping-pong on one core now and on two then, which differ by more
    than everything that is measured here.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[place]})
