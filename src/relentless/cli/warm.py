"""``relentless setup``: compile what is compiled and check what is shipped, once, at set-up."""

import logging
import time
from datetime import UTC, datetime

import numpy as np
import typer

from relentless.configs.process import configure_logging
from relentless.configs.settings import Settings


def warm(settings: Settings) -> None:
    """Compile what ticks and questions pass by running it, and load every model version once.

    Raises:
        ModelInvalid: a version of the model repository fails its digests or its parity check.
    """
    from relentless.mcp_server import inference
    from relentless.proto.daily import DailyContext
    from relentless.proto.tick import TICK_DTYPE, TICK_SIZE
    from relentless.serving.engine import InProcessEngine
    from relentless.serving.model_server.config import declared_labels
    from relentless.serving.pipeline import Lane, activate
    from relentless.serving.predictor import warm_up

    configure_logging("setup", logging.WARNING)
    begun = time.monotonic()
    folder = settings.paths.models / settings.model_server.name
    engine = InProcessEngine(folder, declared_labels(folder))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    nothing = DailyContext(
        as_of=epoch,
        trading_date=epoch.date(),
        context_id="0" * 64,
        fold_version=0,
        head=0,
        provenance={},
    )
    lane = Lane(engine, lambda symbol, minute: 0)
    lane.use(activate(engine, nothing))
    ticks = np.zeros(64, TICK_DTYPE)
    ticks["symbol_id"], ticks["price"], ticks["volume"] = 1, 100.0, 100
    ticks["ts_event"] = np.arange(1, 65) * 10**9
    packed = ticks.view(np.uint8).reshape(-1, TICK_SIZE)
    for batch in (packed[:1], packed[1:]):
        lane.process(batch, now_ns=10**11, refuse=lambda: 0)
    warm_up(engine)
    inference.warm_up()
    labels = ", ".join(f"{label} {version}" for label, version in engine.labels().items())
    engine.close()
    typer.echo(f"compiled and checked in {time.monotonic() - begun:.0f} s (models: {labels})")
