"""Promise P3, the other half: whoever was told of an entry notices when the hub lost it."""

import asyncio
import shutil
from pathlib import Path

import pytest

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.proto.errors import HeadLost
from relentless.serving.clients.hub import HubClient
from relentless.serving.clients.memory import Acknowledged, HeadMemory

from .helpers import Served, news, serving

pytestmark = pytest.mark.promise("P3")


def client(served: Served, memory: Path) -> HubClient:
    key = served.credential("NewsAnalysisAgent")
    return HubClient(served.url, key, memory=HeadMemory(memory))


def some(*names: str) -> list[dict[str, object]]:
    return [news(topic="news", message_id=name) for name in names]


async def rolled_back(settings: Settings, clock: ManualClock, memory: Path) -> None:
    """Have a hub acknowledge messages, then put its journal back to an older copy."""
    journal = settings.paths.state / "hub"
    copy = memory.parent / "copy"
    async with serving(settings, clock) as served, client(served, memory) as agent:
        await agent.publish(some("a", "b"))
    shutil.copytree(journal, copy)
    async with serving(settings, clock) as served, client(served, memory) as agent:
        await agent.publish(some("c", "d", "e"))
        await agent.register(topics=["news"])
    shutil.rmtree(journal)
    shutil.copytree(copy, journal)


async def test_a_client_that_comes_back_to_an_older_journal_says_so_once(
    settings: Settings, clock: ManualClock, tmp_path: Path
) -> None:
    memory = tmp_path / "memory" / "head.json"
    memory.parent.mkdir()
    await rolled_back(settings, clock, memory)
    async with serving(settings, clock) as served, client(served, memory) as agent:
        assert agent.memory.head is not None
        with pytest.raises(HeadLost, match="an older copy"):
            await agent.register(topics=["news"])
        await agent.register(topics=["news"])
        await agent.publish(some("c", "d", "e"))
        await agent.register(topics=["news"])
        assert agent.memory.head.message_id == "e"


async def test_a_publisher_is_told_when_its_new_message_has_an_old_place(
    settings: Settings, clock: ManualClock, tmp_path: Path
) -> None:
    memory = tmp_path / "memory" / "head.json"
    memory.parent.mkdir()
    await rolled_back(settings, clock, memory)
    async with serving(settings, clock) as served, client(served, memory) as agent:
        with pytest.raises(HeadLost):
            await agent.publish(some("f"))
        (receipt,) = await agent.publish(some("f"))
        assert receipt["duplicate"]


async def test_another_message_in_the_place_of_the_remembered_one_is_noticed(
    served: Served, tmp_path: Path
) -> None:
    async with client(served, tmp_path / "head.json") as agent:
        await agent.publish(some("a", "b"))
        number = agent.memory.head.sequence if agent.memory.head else 0
        agent.memory.head = Acknowledged(number, "c")
        with pytest.raises(HeadLost):
            await agent.register(topics=["news"])


async def test_messages_published_side_by_side_raise_no_alarm(
    served: Served, tmp_path: Path
) -> None:
    memory = tmp_path / "head.json"
    async with client(served, memory) as agent:
        await asyncio.gather(*(agent.publish(some(f"m{n}")) for n in range(30)))
        await agent.register(topics=["news"])
        assert HeadMemory(memory).head == agent.memory.head


@pytest.mark.parametrize("text", ["", "{", "[1]", '["a", 1]', "null", "\0"])
def test_a_memory_that_cannot_be_read_remembers_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(text)
    assert HeadMemory(path).head is None
