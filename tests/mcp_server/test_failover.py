"""``predict_signal`` over several model servers: who answers, and from which site."""

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.server import Hub, build
from relentless.proto.signal import Flag, Signal

from ..serving.model_stubs import Told
from .helpers import CALLER, client


@pytest.fixture
def told() -> Iterator[list[Told]]:
    servers = [Told(), Told(), Told()]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
async def hub(settings: Settings, clock: ManualClock, told: list[Told]) -> AsyncIterator[Hub]:
    first, second, other = (server.address for server in told)
    several = settings.model_server.model_copy(
        update={
            "address": first,
            "replicas": (second,),
            "secondary": (other,),
            "timeout_s": 10.0,
        }
    )
    changed = settings.model_copy(update={"model_server": several})
    async with build(changed, clock=clock, local=CALLER.get) as built:
        yield built


async def asked(hub: Hub) -> Signal:
    arguments = {"symbol": "SPY", "price": 169.0, "bid": 168.99, "ask": 169.01}
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("predict_signal", arguments)
    assert not answer.is_error, answer.content
    return Signal.unpack(bytes.fromhex(answer.structured_content["frame"]))


async def test_a_prediction_says_when_another_site_answered(hub: Hub, told: list[Told]) -> None:
    await hub.contexts.build(None)
    assert Flag.FAILOVER not in (await asked(hub)).flags
    told[0].mode = grpc.StatusCode.UNAVAILABLE
    assert Flag.FAILOVER not in (await asked(hub)).flags
    told[1].mode = grpc.StatusCode.UNAVAILABLE
    signal = await asked(hub)
    assert Flag.FAILOVER in signal.flags
    assert signal.model_version == 1
