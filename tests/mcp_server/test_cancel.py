"""A build that is given up leaves nothing, or is finished whole: journal and hub never differ."""

import asyncio

import pytest

from relentless.mcp_server.contexts import ContextStore
from relentless.mcp_server.server import Hub
from relentless.proto.daily import DailyContext
from relentless.store.ports import Kind


async def test_a_build_given_up_while_it_folds_leaves_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ContextStore, "fold", endless)
    building = asyncio.create_task(hub.contexts.build(None))
    async with asyncio.timeout(30):
        await begun.wait()
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
    assert hub.contexts.latest is None
    assert await hub.journal.read(Kind.CONTEXT) == []


async def test_a_build_given_up_while_it_is_written_is_finished(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    keep = ContextStore.keep

    async def slow(self: ContextStore, context: DailyContext) -> DailyContext:
        begun.set()
        await go_on.wait()
        return await keep(self, context)

    monkeypatch.setattr(ContextStore, "keep", slow)
    building = asyncio.create_task(hub.contexts.build(None))
    async with asyncio.timeout(30):
        await begun.wait()
        building.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await building
    (kept,) = await hub.journal.read(Kind.CONTEXT)
    assert hub.contexts.latest is not None
    assert kept.digest == hub.contexts.latest.context_id
