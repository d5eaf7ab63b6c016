"""``explain_signal``: from the frame back to the evidence, and what cannot be told is said."""

from typing import Any

import grpc
import pytest

from relentless.mcp_server.control import LeaseRequest
from relentless.mcp_server.server import Hub
from relentless.models.feature_spec import TICK_FEATURES
from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.proto.signal import Signal
from relentless.serving.ports import HEADS

from .helpers import client
from .test_inference import frame

RATE = {
    "timestamp": "2013-10-07T09:15:00Z",
    "source_agent": "FredAgent",
    "message_id": "dff-1",
    "topic": "rates",
    "observed_at": "2013-10-04T00:00:00Z",
    "known_at": "2013-10-07T09:15:00Z",
    "context": {"series_id": "DFF", "value": 0.08, "units": "percent"},
    "evidence": [{"source": "FRED DFF", "sha256": "ab" * 32, "origin": "recorded"}],
}


async def signalled(hub: Hub) -> None:
    """Publish a rate, build a context from it, and have a signal under it."""
    async with client(hub, "FredAgent") as agent:
        answer = await agent.call_tool("publish_context", {"message": RATE})
        assert not answer.is_error, answer.content
    context = await hub.contexts.build(None)
    signal = Signal.unpack(frame(7))._replace(context_id=context.short_id)
    hub.tap._restart("s1")
    hub.tap.take("s1", signal.pack(), {1: "SPY"})


async def explain(hub: Hub, **arguments: Any) -> Any:
    async with client(hub, "reader") as reader:
        return await reader.call_tool("explain_signal", arguments)


async def test_a_signal_leads_to_its_context_messages_and_evidence(hub: Hub) -> None:
    await signalled(hub)
    answer = await explain(hub, symbol="SPY")
    said = answer.structured_content
    assert said["signal"]["sequence"] == 7
    assert said["model"]["label"] == "stable"
    assert said["context"]["features"]["fed_funds_rate"]["used"] is True
    assert said["context"]["features"]["credit_spread"]["used"] is False
    (used,) = said["messages"]
    assert (used["message_id"], used["context"]) == ("dff-1", None)
    assert used["evidence"][0]["sha256"] == "ab" * 32
    assert said["trust"].startswith("untrusted")
    assert any("tick features" in gap for gap in said["gaps"])
    uris = [block.uri for block in answer.content if block.type == "resource_link"]
    assert uris[0] == "context://daily/2013-10-07"
    async with client(hub, "reader") as reader:
        for uri in uris:
            page = (await reader.read_resource(uri)).contents[0].text
        assert "dff-1" in page


async def test_whole_parts_come_where_they_are_asked_for(hub: Hub) -> None:
    await signalled(hub)
    said = (await explain(hub, sequence=7, session="s1", fields=["*"])).structured_content
    assert len(said["signal"]["frame"]) == 128
    assert said["messages"][0]["context"]["series_id"] == "DFF"
    assert said["context"]["features"]["fed_funds_rate"]["message_ids"] == ["dff-1"]


@pytest.mark.parametrize("wanted", [{"symbol": "XLF"}, {"sequence": 8}, {}])
async def test_a_signal_that_is_not_held_is_said(hub: Hub, wanted: dict[str, Any]) -> None:
    if wanted:
        await signalled(hub)
    said = (await explain(hub, **wanted)).structured_content
    assert said["error"]["code"] == "not_found"


async def test_the_predictor_is_asked_for_what_the_model_saw(hub: Hub) -> None:
    class Predictor(market_pb2_grpc.FinancialPredictorServicer):
        async def Explain(self, request: Any, context: Any) -> Any:
            keys = dict(context.invocation_metadata())
            assert keys["authorization"].startswith("Bearer ")
            return market_pb2.ExplainResponse(
                features=range(len(TICK_FEATURES)), heads=[0.5, 0, 1, 0], model_version=1
            )

    server = grpc.aio.server()
    market_pb2_grpc.add_FinancialPredictorServicer_to_server(Predictor(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    where = {"grpc": f"127.0.0.1:{port}", "session": "s1"}
    await hub.control.lease(LeaseRequest(predictor_id="p1", stats=where))
    await signalled(hub)
    said = (await explain(hub, symbol="SPY")).structured_content
    await server.stop(0)
    assert said["gaps"] == []
    assert said["tick_features"] == {name: float(n) for n, name in enumerate(TICK_FEATURES)}
    assert list(said["model"]["heads"]) == list(HEADS)
