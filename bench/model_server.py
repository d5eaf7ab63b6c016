"""Batching in the embedded server: single-row requests of many callers, with it and without.

First the session alone, called by threads of this process: what batching itself gives. Then through
gRPC, whose cost in Python is most of a request's and the same either way.

Two servers of the same version run at the same time, started by TensorFlow Serving's flags, one of
them with the batching file of production. A client in this process asks each in turn.
"""

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np

from bench.harness import Figure, Section, percentile
from relentless.configs.settings import HERE, Settings
from relentless.models.features import TICK_FEATURES
from relentless.models.weights import HIDDEN
from relentless.serving.model_server.batching.options import read_batching
from relentless.serving.model_server.batching.session import Batching
from relentless.serving.model_server.runtime.session import SavedModelSession
from relentless.serving.tensor_proto import RawTensor, pack
from relentless.serving.tf_client import TfServingPredictor
from relentless.serving.tf_protos import predict_pb2

CLIENTS = (1, 16, 64)
SECONDS, ROUNDS = 1.0, 4
PREDICT = "/tensorflow.serving.PredictionService/Predict"
BATCHING = HERE / "tfserving" / "batching.config"


def batching() -> Section:
    """Measure requests a second, batched against unbatched."""
    figures = _sessions()
    with tempfile.TemporaryDirectory(prefix="relentless-bench-") as folder:
        sockets = [Path(folder) / "plain.sock", Path(folder) / "batched.sock"]
        flags = ["--enable_batching", f"--batching_parameters_file={BATCHING}"]
        with _server(sockets[0]), _server(sockets[1], *flags):
            request = _request()
            for clients in CLIENTS:
                rates: list[list[float]] = [[], []]
                waits: list[list[float]] = [[], []]
                for at in range(ROUNDS + 1):
                    for which in (0, 1) if at % 2 == 0 else (1, 0):
                        taken = asyncio.run(_ask(sockets[which], request, clients))
                        if at:  # the first round warms up
                            rates[which].append(len(taken) / SECONDS)
                            waits[which].extend(taken)
                figures += _figures(clients, rates, waits)
    return Section(
        "Batching in the embedded server",
        f"predict_folded of one row, {BATCHING.name} of production against no batching: a session "
        "called by threads, then a server over a Unix socket with all clients in one process.",
        figures,
    )


def _sessions() -> list[Figure]:
    """Run the version's session from many threads, bare and with batching around it."""
    settings = Settings()
    folder = settings.paths.models / settings.model_server.name / "1"
    bare, batching = SavedModelSession(folder), Batching(read_batching(BATCHING))
    batched = batching.wrap(folder.parent.name, 1, folder, SavedModelSession(folder))
    signature = bare.signatures["predict_folded"]
    feeds = {
        info.name: RawTensor.of(np.ones((1, info.tensor_shape.dim[1].size), np.float32))
        for info in signature.inputs.values()
    }
    fetches = [info.name for info in signature.outputs.values()]
    figures = []
    for callers in CLIENTS:
        rates: list[list[float]] = [[], []]
        for at in range(ROUNDS):
            for which in (0, 1) if at % 2 == 0 else (1, 0):
                session = (bare, batched)[which]
                rates[which].append(_call(lambda s=session: s.run(feeds, fetches), callers))  # type: ignore[misc]
        figures.append(
            Figure(
                f"the session alone, {callers} threads, runs",
                percentile(rates[1], 0.5),
                "/s",
                reference="without batching",
                reference_value=percentile(rates[0], 0.5),
                note="more is better",
            )
        )
    batched.close()
    batching.stop()
    bare.close()
    return figures


def _call(run: Callable[[], object], callers: int) -> float:
    """Call from so many threads; give the calls a second."""
    counts, end = [0] * callers, time.perf_counter() + SECONDS

    def work(which: int) -> None:
        while time.perf_counter() < end:
            run()
            counts[which] += 1

    threads = [threading.Thread(target=work, args=(which,)) for which in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def _figures(clients: int, rates: list[list[float]], waits: list[list[float]]) -> list[Figure]:
    many, beside = f"{clients} client" + "s" * (clients > 1), "without batching"
    return [
        Figure(
            f"{many}, requests",
            percentile(rates[1], 0.5),
            "/s",
            reference=beside,
            reference_value=percentile(rates[0], 0.5),
            note="more is better",
        ),
        Figure.of(
            f"{many}, wait",
            waits[1],
            "ms",
            beside,
            waits[0],
        ),
    ]


def _request() -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = Settings().model_server.name
    request.model_spec.signature_name = "predict_folded"
    for alias, width in (("features", len(TICK_FEATURES)), ("bias", HIDDEN)):
        pack(RawTensor.of(np.full((1, width), 0.5, np.float32)), into=request.inputs[alias])
    return bytes(request.SerializeToString())


@contextmanager
def _server(socket: Path, *flags: str) -> Iterator[None]:
    settings = Settings()
    name = settings.model_server.name
    command = [
        *(sys.executable, "-m", "relentless.serving.model_server"),
        *("--port=0", f"--grpc_socket_path={socket}"),
        *(f"--model_name={name}", f"--model_base_path={settings.paths.models / name}"),
    ]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        client = TfServingPredictor(f"unix:{socket}", name)
        try:
            client.wait_ready(60.0)
            yield
        finally:
            client.close()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


async def _ask(socket: Path, request: bytes, clients: int) -> list[float]:
    """Keep so many requests in flight; give the milliseconds of each that was answered."""
    taken: list[float] = []
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        predict = channel.unary_unary(PREDICT)
        await predict(request)
        end = time.perf_counter() + SECONDS

        async def keep_asking() -> None:
            while (begun := time.perf_counter()) < end:
                await predict(request, timeout=10.0)
                taken.append((time.perf_counter() - begun) * 1e3)

        await asyncio.gather(*(keep_asking() for _ in range(clients)))
    return taken
