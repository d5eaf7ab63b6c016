"""The hub is killed in the middle of each of its tools, and at every step of its start.

P15: start-up is recovery. Whatever the moment, the next start serves by itself; P1: what was
acknowledged is there; P2: what was not may be said again, and is kept once.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relentless.configs.clock import RunClock
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import ModelServer, serve
from relentless.store.journal import open_journal
from relentless.store.ports import Kind
from relentless.tools.access import ACCESS
from tests.mcp_server.processes import LONG, HubProcess
from tests.serving.saved_models import MODEL, random_weights, write_version

from .ledger import Ledger, call, clients, load

PROGRAM = (str(Path(__file__).with_name("failing_hub.py")),)
TOOLS = [f"tool {name}:{when}" for name in ACCESS for when in ("after", "before")]
SERVING = [
    "sql BEGIN:before",
    "sql INSERT INTO entries:before",
    "sql COMMIT:before",
    "store.writer Writer._write:after",
    "store.journal SqliteJournal._deliver:before",
    "store.journal SqliteJournal._answer:before",
    "mcp_server.exchange MessageExchange._tell:before",
    "mcp_server.exchange MessageExchange._tell:after",
    "mcp_server.contexts ContextStore.keep:before",
    "mcp_server.contexts ContextStore.keep:after",
    "mcp_server.control write_halt:before",
    "mcp_server.control write_halt:after",
    "mcp_server.models ModelControl._keep:after",
    "mcp_server.fast _respond:before",
]
"""Points that a serving hub passes."""
STARTING = [
    "sql INSERT OR REPLACE INTO checkpoint:before",
    "mcp_server.server ensure_local:after",
    "store.recovery OwnerLock:after",
    "store.recovery connect_writer:before",
    "store.recovery connect_writer:after",
    "store.recovery verify_from:after",
    "store.recovery _check:after",
    "mcp_server.registry Registry.recover:after",
    "mcp_server.exchange MessageExchange.recover:after",
    "mcp_server.contexts ContextStore.recover:after",
    "mcp_server.control LeaseControl.recover:after",
    "mcp_server.models ModelControl.recover:after",
    "mcp_server.http HttpServer.startup:after",
]
"""Points that every start passes, before the hub says that it is ready."""
FRESH = [
    "store.keys write_private:before",
    "store.keys write_private:after",
    "store.keys KeyRing.create:after",
    "store.recovery make_folder:after",
    "store.schema _is_empty:after",
    "store.recovery connect_writer:after",
]
"""Points of a start in an empty folder."""

pytestmark = [
    pytest.mark.promise("P15"),
    pytest.mark.promise("P1"),
    pytest.mark.promise("P2"),
    pytest.mark.timeout(7_200),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A model server, for the tools that ask one."""
    root = tmp_path_factory.mktemp("models")
    for number in (1, 2):
        write_version(root / MODEL, number, random_weights(number))
    config = ModelConfig(MODEL, root / MODEL, Policy("all"), {"stable": 1, "canary": 2})
    running = serve("127.0.0.1:0", (config,), root)
    yield running
    running.stop(0.1)


@pytest.fixture
def hub(tmp_path: Path, server: ModelServer) -> Iterator[HubProcess]:
    limits = {"lease_s": 0.2, "build_grace_s": 0.2, "rate_per_s": 100_000.0}
    made = HubProcess(tmp_path, server.address, **limits)
    yield made
    if made.running():
        made.kill()


async def pages(client: Any, **query: Any) -> list[dict[str, Any]]:
    """Read all messages there are."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["sequence"] if found else 0
        page = await client.read(after=after, limit=500, **query)
        if not page["messages"]:
            return found
        found += page["messages"]


async def verify(hub: HubProcess, ledger: Ledger) -> None:
    """Hold a hub that was started again to what the ledger says, then say the pending again."""
    async with clients(hub) as connected:
        reader, operator = connected["reader"], connected["operator"]
        for tool, given in ledger.pending:
            await call(ledger, connected[_caller(tool)], tool, given)
        again = list(ledger.pending)
        ledger.pending.clear()
        for tool, given in again:  # once more: a repetition of what was done does no harm
            await call(ledger, connected[_caller(tool)], tool, given)

        stored = await pages(reader, topic="news")
        numbers = {each["message"]["message_id"]: each["sequence"] for each in stored}
        assert len(stored) == len(numbers), "a message is there twice"
        assert ledger.messages.items() <= numbers.items()
        assert numbers.keys() <= ledger.sent.keys()
        status = (await operator.call("get_status"))["status"]
        assert status["halt"]["halted"] in ledger.halts
        if ledger.shares:
            model = await operator.call("manage_model", {"action": "status"})
            assert model["canary_share"] in ledger.shares
        inbox = await connected["TradingAgent"].call("ack_messages", {"up_to": 0})
        assert inbox["acknowledged"] >= ledger.acknowledged
        agents = {each["agent"]: each for each in (await reader.call("list_agents"))["agents"]}
        if ledger.runs[0]:
            assert agents["FredAgent"]["last_run"]["finished_at"] in ledger.runs
            assert agents["FredAgent"]["schedule"] == ["05:15"]
        notices = await pages(reader, topic="daily_context")
        told = {each["message"]["context"]["context_id"] for each in notices}
        assert ledger.contexts <= told
        if ledger.contexts:
            newest = await reader.daily_context()
            assert newest.context_id in told
        notes = await pages(reader, topic="note")
        assert ledger.requests <= {each["message"]["message_id"] for each in notes}


def _caller(tool: str) -> str:
    own = {
        "publish_context": "NewsAnalysisAgent",
        "register_agent": "FredAgent",
        "ack_messages": "TradingAgent",
        "read_messages": "TradingAgent",
    }
    operates = ("build_daily_context", "set_trading_halt", "run_agent", "manage_model")
    return own.get(tool, "operator" if tool in operates else "reader")


async def prepared(hub: HubProcess, ledger: Ledger) -> None:
    """Register the agent that runs are asked of."""
    async with clients(hub) as connected:
        given = {"topics": ["rates"], "schedule": ["05:15"]}
        await call(ledger, connected["FredAgent"], "register_agent", given)


@contextmanager
def there(file: Path) -> Iterator[None]:
    """Have a file be there."""
    file.touch()
    yield
    file.unlink()


async def killed_under_load(hub: HubProcess, ledger: Ledger) -> None:
    """Have everybody call until the hub has reached its point, and see it die there."""
    async with clients(hub) as connected, asyncio.timeout(LONG):
        await load(ledger, connected)
    assert hub.wait() == -9


async def whole(hub: HubProcess, ledger: Ledger) -> None:
    """End it in order, and follow its journal from the first entry to the last."""
    assert hub.stop() == 0
    journal = await open_journal(hub.state / "hub" / "journal.db", RunClock.live())
    try:
        head = await journal.verify()
        written = 0
        after = 0
        while audits := await journal.read(Kind.AUDIT, after=after, limit=1_000):
            after = audits[-1].sequence
            said = [json.loads(entry.body) for entry in audits]
            written += sum(e["count"] for e in said if e["what"] == "publish_context")
    finally:
        await journal.close()
    assert written == len({*ledger.messages}), "each message is audited once"
    assert head.sequence >= len(ledger.messages)


async def kill_at(
    hub: HubProcess, points: list[str], rounds: int, armed: Path, seed: int
) -> Ledger:
    """Kill at each point in turn, on the same state; every start is the recovery from the last."""
    ledger = Ledger()
    chance = random.Random(seed)
    slowest = 0.0
    todo = [point for point in points for _ in range(rounds)]
    chance.shuffle(todo)
    for number, point in enumerate(todo):
        begun = time.monotonic()
        nth = chance.choice((1, 2, 3)) if rounds > 1 else 1
        failpoint = {"FAILPOINT": f"{point}:{nth}", "FAILPOINT_ARMED": str(armed)}
        assert hub.start(PROGRAM, **failpoint), hub.log.read_text()[-2_000:]
        slowest = max(slowest, time.monotonic() - begun)
        if number == 0:
            await prepared(hub, ledger)
        await verify(hub, ledger)
        with there(armed):
            await killed_under_load(hub, ledger)
    assert hub.start(), hub.log.read_text()[-2_000:]
    await verify(hub, ledger)
    await whole(hub, ledger)
    print(f"\n{len(todo)} kills, {ledger.calls} calls; the slowest start took {slowest:.1f} s")
    return ledger


async def test_a_kill_in_the_middle_of_each_tool_loses_nothing(
    hub: HubProcess, tmp_path: Path, soak: bool
) -> None:
    points = TOOLS if soak else [point for point in TOOLS if point.endswith("after")]
    assert {point.split()[1].partition(":")[0] for point in points} == set(ACCESS)
    ledger = await kill_at(hub, points, 10 if soak else 1, tmp_path / "armed", 1)
    assert ledger.messages
    assert ledger.acknowledged


async def test_a_kill_at_each_step_of_a_write_loses_nothing(
    hub: HubProcess, tmp_path: Path, soak: bool
) -> None:
    ledger = await kill_at(
        hub, SERVING if soak else SERVING[2::5], 10 if soak else 1, tmp_path / "armed", 2
    )
    assert ledger.messages


async def test_kills_at_any_moment_lose_nothing(
    hub: HubProcess, tmp_path: Path, soak: bool
) -> None:
    ledger, chance = Ledger(), random.Random(3)
    assert hub.start()
    await prepared(hub, ledger)
    for _ in range(100 if soak else 1):
        async with clients(hub) as connected, asyncio.timeout(LONG):
            calling = asyncio.create_task(load(ledger, connected))
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            hub.kill()
            await calling
        assert hub.start()
        await verify(hub, ledger)
    await whole(hub, ledger)


async def test_a_kill_at_each_step_of_a_start_is_recovered_by_the_next(
    hub: HubProcess, soak: bool
) -> None:
    ledger = Ledger()
    assert hub.start()
    await prepared(hub, ledger)
    for number, point in enumerate(STARTING if soak else STARTING[::5]):
        for _ in range(10 if soak else 1):
            if soak or number == 0:  # what was written since the last mark is to be recovered
                async with clients(hub) as connected, asyncio.timeout(LONG):
                    calling = asyncio.create_task(load(ledger, connected))
                    await asyncio.sleep(0.1)
                    hub.kill()
                    await calling
            elif hub.running():
                hub.kill()
            assert not hub.start(PROGRAM, FAILPOINT=f"{point}:1"), point
            assert hub.wait() == -9
            if soak:
                assert hub.start(), (point, hub.log.read_text()[-2_000:])
                await verify(hub, ledger)
    if not hub.running():
        assert hub.start(), hub.log.read_text()[-2_000:]
    await verify(hub, ledger)
    await whole(hub, ledger)


async def test_a_kill_of_a_first_start_leaves_nothing_in_the_way_of_the_next(
    tmp_path: Path, server: ModelServer, soak: bool
) -> None:
    for point in FRESH if soak else FRESH[1:2]:
        for nth in range(1, 11 if soak else 2):
            folder = tmp_path / f"{FRESH.index(point)}-{nth}"
            hub = HubProcess(folder, server.address)
            if hub.start(PROGRAM, FAILPOINT=f"{point}:{nth}"):
                assert hub.stop() == 0  # a start passes the point fewer times than that
                assert nth > 1
            else:
                assert hub.wait() == -9
            assert hub.start(), (point, hub.log.read_text()[-2_000:])
            ledger = Ledger()
            await prepared(hub, ledger)
            await verify(hub, ledger)
            assert hub.stop() == 0
