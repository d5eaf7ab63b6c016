"""Start-up time and memory of every process, and the embedded model server through its port.

Each process is started alone by its own command, with the settings of a run; the reference is a
Python that imports the MCP SDK's server and nothing of ours.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.harness import Figure, Section, alternate, percentile, timed
from relentless.cli.plan import Plan, Wish, plan_run
from relentless.configs.settings import Settings
from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.features import TICK_FEATURES
from relentless.serving.tf_client import TfServingPredictor
from relentless.store.keys import ensure_local

REFERENCE = (
    "import json, time; from mcp.server import MCPServer; s = MCPServer('x'); "
    "print(json.dumps({'ready': 'reference'}), flush=True); time.sleep(60)"
)
STARTS = 3


@contextmanager
def plan() -> Iterator[Plan]:
    """Resolve a run in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="relentless-bench-") as folder:
        made = plan_run(Settings(), Wish(day=True, state=Path(folder)))
        ensure_local(made.settings.paths.state)
        yield made


@contextmanager
def started(command: list[str], file: Path | None = None) -> Iterator[tuple[float, psutil.Process]]:
    """Start a process, wait for its line, give the seconds that took; end it after."""
    environment = {**os.environ, **({"RELENTLESS_SETTINGS": str(file)} if file else {})}
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                if "ready" in json.loads(line):
                    break
            yield time.perf_counter() - begun, psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def startup() -> Section:
    """Measure the start of each process, alone."""
    figures = []
    with plan() as made:
        reference = [_start(["-c", REFERENCE], None) for _ in range(STARTS)]
        slow = percentile([seconds for seconds, _ in reference], 0.5)
        for name in ("hub", "sandbox", "model-server", "predictor", "agents", "trade"):
            taken = [_start(["-m", "relentless", name], made.file) for _ in range(STARTS)]
            figures.append(
                Figure(
                    f"{name}: ready after",
                    percentile([seconds for seconds, _ in taken], 0.5),
                    "s",
                    None,
                    "the SDK's bare server",
                    slow,
                    note=f"{percentile([rss for _, rss in taken], 0.5):.0f} MB resident "
                    f"(reference {percentile([rss for _, rss in reference], 0.5):.0f} MB)",
                )
            )
    return Section("Start-up", "From the command to the ready line, alone on the machine.", figures)


def _start(command: list[str], file: Path | None) -> tuple[float, float]:
    with started(command, file) as (seconds, process):
        return seconds, process.memory_info().rss / 2**20


def model_server() -> Section:
    """One tick and a chunk through the embedded server, against a health check on the same port."""
    with plan() as made, started(["-m", "relentless", "model-server"], made.file):
        server = made.settings.model_server
        predictor = TfServingPredictor(server.address, server.name, timeout_s=10.0)
        version = predictor.labels()["stable"]
        context = predictor.encode(np.zeros(len(CONTEXT_VECTOR), np.float32), 1, version)
        figures, series = [], {}
        with grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest()
            for rows in (1, 128, 1_024):
                features = np.zeros((rows, len(TICK_FEATURES)), np.float32)
                count = 300 if rows < 1_000 else 100
                timed(lambda f=features: predictor.predict(f, context), 50)  # type: ignore[misc]
                reference, samples = alternate(
                    lambda n=count: timed(lambda: health.Check(request), n),  # type: ignore[misc]
                    lambda f=features, n=count: timed(  # type: ignore[misc]
                        lambda: predictor.predict(f, context), n
                    ),
                    5,
                )
                figures.append(
                    Figure.of(
                        f"{rows:,} rows a request",
                        samples,
                        "ms",
                        "gRPC health check",
                        reference,
                        f"{rows / percentile(samples, 0.5) * 1e6:,.0f} rows/s with one in flight",
                        per=1e3,
                    )
                )
                if rows == 1:
                    series["one tick through the model server"] = samples
        predictor.close()
    return Section(
        "Embedded model server",
        "predict_folded over gRPC on TCP loopback, one request in flight.",
        figures,
        series,
    )
