"""``relentless setup``: compile what is compiled and check what is shipped, once, at set-up."""

import logging
import time

import typer

from relentless.configs.process import configure_logging
from relentless.configs.settings import Settings


def warm(settings: Settings) -> None:
    """Compile what ticks and questions pass by running it, and load every model version once.

    Raises:
        ModelInvalid: a version of the model repository fails its digests or its parity check.
    """
    from relentless.mcp_server import inference
    from relentless.serving.engine import InProcessEngine
    from relentless.serving.model_server.config import declared_labels
    from relentless.serving.predictor import warm_up

    configure_logging("setup", logging.WARNING)
    begun = time.monotonic()
    folder = settings.paths.models / settings.model_server.name
    engine = InProcessEngine(folder, declared_labels(folder))
    warm_up(engine)
    inference.warm_up()
    labels = ", ".join(f"{label} {version}" for label, version in engine.labels().items())
    engine.close()
    typer.echo(f"compiled and checked in {time.monotonic() - begun:.0f} s (models: {labels})")
