"""What every process of ours does the same way: say that it is ready, log, and end on a signal."""

import asyncio
import gc
import json
import logging
import signal
import sys
from typing import Any, TextIO

import structlog


def announce(name: str, **fields: Any) -> None:
    """Print the one line on standard output that says that this process is ready, and where."""
    print(json.dumps({"ready": name, **fields}), flush=True)


def configure_logging(name: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send JSON lines to standard error or a stream, each with the process's name and wall time."""
    stream = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=name)
    logging.basicConfig(level=logging.WARNING, stream=stream, force=True)


def stop_event() -> asyncio.Event:
    """Give an event that SIGTERM and SIGINT set. Call it inside the running loop, once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def settle() -> None:
    """Take what start-up made out of the garbage collector's sight, so that its pauses stay short.

    Call it once, when everything long-lived is built.
    """
    gc.collect()
    gc.freeze()
