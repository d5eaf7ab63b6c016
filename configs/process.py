"""What every process of ours does the same way: say that it is ready, log, and end on a signal."""

import asyncio
import gc
import json
import logging
import resource
import signal
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

SPARE_FILES: Final = 128
"""Descriptors that a process needs for itself."""


def announce(name: str, **fields: Any) -> None:
    """Print the one line on standard output that says that this process is ready, and where."""
    print(json.dumps({"ready": name, **fields}), flush=True)


def configure_logging(name: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send JSON lines to standard error or a stream, each with the process's name and wall time.

    What libraries log as a warning or worse becomes such a line too.
    """

    def named(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["process"] = name
        return line

    structlog.configure(
        processors=[
            named,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Relay()], force=True)


class _Relay(logging.Handler):
    """Hands what libraries log on to the log of the process."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
        )


def allow_files(connections: int) -> int:
    """Raise this process's limit of descriptors; gives how many connections fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(connections, soft - SPARE_FILES)


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
