"""How a process of ours logs: one JSON line each, whoever says it and in whatever thread."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from relentless.configs.process import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    taken = io.StringIO()
    yield taken
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def test_every_line_is_json_and_names_its_process(stream: io.StringIO) -> None:
    configure_logging("model-server", stream=stream)
    talk = threading.Thread(target=lambda: structlog.get_logger().info("loaded", version=1))
    talk.start()
    talk.join()
    library = logging.getLogger("grpc._common")
    library.warning("no %s", "HTTP")
    library.info("small talk")
    try:
        raise ValueError("corrupt")
    except ValueError:
        library.exception("not read")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    said = [(line["level"], line["event"], line.get("logger")) for line in lines]
    assert said == [
        ("info", "loaded", None),
        ("warning", "no HTTP", "grpc._common"),
        ("error", "not read", "grpc._common"),
    ]
    assert all(line["process"] == "model-server" for line in lines)
    assert "ValueError: corrupt" in lines[2]["exception"]
