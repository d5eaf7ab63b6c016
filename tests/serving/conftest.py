"""Model servers for the tests that hold them to their contract and change nothing there."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import ModelServer, serve

from .model_server.rest_server import rest_server
from .saved_models import MODEL, random_weights, write_version


def contract_server_in(root: Path) -> ModelServer:
    """Serve versions 1 and 2; the label "next" names a version that is not there."""
    for number in (1, 2):
        write_version(root / MODEL, number, random_weights(number))
    labels = {"stable": 1, "canary": 2, "next": 3}
    config = ModelConfig(MODEL, root / MODEL, Policy("all"), labels)
    return serve("127.0.0.1:0", (config,), root)


@pytest.fixture(scope="session")
def contract_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """One such server for every test that changes nothing there."""
    running = contract_server_in(tmp_path_factory.mktemp("models"))
    yield running
    running.stop(0.1)


@pytest.fixture(scope="session")
def contract_channel(contract_server: ModelServer) -> Iterator[grpc.Channel]:
    """An open channel to it."""
    with grpc.insecure_channel(contract_server.address) as opened:
        yield opened


@pytest.fixture(scope="session")
def rest_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server with REST: half plus two, and the echo model."""
    with (
        rest_server(tmp_path_factory.mktemp("rest") / "models") as running,
        httpx.Client(base_url=f"http://{running.rest}", timeout=20) as opened,
    ):
        yield opened
