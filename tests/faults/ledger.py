"""What a hub acknowledged, written down by those it told; and the load that makes it acknowledge.

Five callers between them call every tool until the hub is gone. Whatever was in flight then is
pending: it may have been done or not, and is said again.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from relentless.proto.base import iso
from relentless.proto.errors import DeadlineExceeded, RelentlessError, Unavailable
from relentless.serving.clients.hub import HubClient
from tests.mcp_server.helpers import START, news
from tests.mcp_server.processes import HubProcess

CALLERS = ("NewsAnalysisAgent", "FredAgent", "TradingAgent", "reader", "operator")
GONE = (Unavailable, DeadlineExceeded)
Call = tuple[str, dict[str, Any]]
Clients = dict[str, HubClient]


@dataclass
class Ledger:
    """What was acknowledged so far, over all the hub's lives."""

    messages: dict[str, int] = field(default_factory=dict)
    """Message id and the sequence that it was acknowledged with."""
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    acknowledged: int = 0
    halts: list[bool] = field(default_factory=lambda: [False])
    """The last acknowledged state, and those that are pending."""
    runs: list[str] = field(default_factory=lambda: [""])
    """When FredAgent's last run ended: the last acknowledged report, and those pending."""
    shares: list[float] = field(default_factory=lambda: [])
    contexts: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    pending: list[Call] = field(default_factory=list)
    writes: int = 0
    """Acknowledged calls that wrote."""
    calls: int = 0
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def intend(self, tool: str, given: dict[str, Any]) -> None:
        """Note what may come of a call before it is answered."""
        if tool == "publish_context":
            self.sent |= {message["message_id"]: message for message in given["message"]}
        elif tool == "set_trading_halt":
            self.halts.append(given["halted"])
        elif tool == "register_agent" and "last_run" in given:
            self.runs.append(given["last_run"]["finished_at"])
        elif given.get("action") == "set_canary_share":
            self.shares.append(given["share"])

    def note(self, tool: str, given: dict[str, Any], answer: dict[str, Any]) -> None:
        """Note what was acknowledged; what was pending before it of the same kind is settled."""
        self.calls += 1
        if tool == "publish_context":
            self.writes += 1
            for receipt in answer["receipts"]:
                number = self.messages.setdefault(receipt["message_id"], receipt["sequence"])
                assert number == receipt["sequence"]
        elif tool == "ack_messages":
            self.acknowledged = max(self.acknowledged, answer["acknowledged"])
        elif tool == "set_trading_halt":
            assert answer["halted"] is given["halted"]
            self.halts = [given["halted"]]
        elif tool == "register_agent" and "last_run" in given:
            self.runs = [given["last_run"]["finished_at"]]
        elif given.get("action") == "set_canary_share":
            self.shares = [given["share"]]
        elif tool == "build_daily_context":
            self.contexts.add(answer["context"]["context_id"])
        elif tool == "run_agent":
            self.requests.add(answer["request_id"])


@asynccontextmanager
async def clients(hub: HubProcess) -> AsyncIterator[Clients]:
    """Give a client for every caller."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                HubClient(hub.url, hub.credential(name), timeout_s=60)
            )
            for name in CALLERS
        }


async def call(ledger: Ledger, hub: HubClient, tool: str, given: dict[str, Any]) -> dict[str, Any]:
    """Call a tool, and keep the books; a refusal by the tool itself is an answer."""
    ledger.intend(tool, given)
    try:
        answer = await hub.call(tool, given)
    except Unavailable as error:
        if "cannot be reached" in str(error):
            ledger.pending.append((tool, given))
            raise
        return {}
    except DeadlineExceeded:
        ledger.pending.append((tool, given))
        raise
    except RelentlessError as error:
        assert error.code != "internal", error
        return {}
    ledger.note(tool, given, answer)
    return answer


async def load(ledger: Ledger, connected: Clients) -> None:
    """Call every tool again and again, from five callers, until the hub is gone."""
    works: list[Callable[[Ledger, Clients], Awaitable[None]]] = [
        publish,
        report,
        take,
        look,
        operate,
    ]

    async def until_gone(work: Callable[[Ledger, Clients], Awaitable[None]]) -> None:
        try:
            while True:
                await work(ledger, connected)
        except GONE:
            return

    await asyncio.gather(*map(until_gone, works))


async def publish(ledger: Ledger, connected: Clients) -> None:
    """Publish two messages."""
    numbers = [next(ledger.numbers), next(ledger.numbers)]
    batch = [news(topic="news", message_id=f"m-{n}", timestamp=iso(START)) for n in numbers]
    await call(ledger, connected["NewsAnalysisAgent"], "publish_context", {"message": batch})


async def report(ledger: Ledger, connected: Clients) -> None:
    """Report a run, as a heartbeat does."""
    at = START + timedelta(seconds=next(ledger.numbers))
    run = {"scheduled_at": iso(START), "finished_at": iso(at), "status": "ok"}
    given = {"topics": ["rates"], "schedule": ["05:15"], "last_run": run}
    await call(ledger, connected["FredAgent"], "register_agent", given)


async def take(ledger: Ledger, connected: Clients) -> None:
    """Read the inbox and acknowledge what was read."""
    trader = connected["TradingAgent"]
    page = await call(ledger, trader, "read_messages", {"inbox": True, "limit": 5})
    if page and page["messages"]:
        up_to = page["messages"][-1]["sequence"]
        await call(ledger, trader, "ack_messages", {"up_to": up_to})
    else:
        await asyncio.sleep(0.01)


async def look(ledger: Ledger, connected: Clients) -> None:
    """Ask everything that a reader may ask."""
    for tool, given in (
        ("get_status", {}),
        ("get_daily_context", {}),
        ("list_agents", {}),
        ("get_signals", {}),
        ("explain_signal", {}),
        ("predict_signal", {"symbol": "SPY", "price": 168.0}),
    ):
        await call(ledger, connected["reader"], tool, given)


async def operate(ledger: Ledger, connected: Clients) -> None:
    """Do everything that an operator may do."""
    number = next(ledger.numbers)
    share = {"action": "set_canary_share", "share": number % 100 / 100, "reason": "a drill"}
    for tool, given in (
        ("build_daily_context", {}),
        ("set_trading_halt", {"halted": bool(number % 2), "reason": "a drill"}),
        ("run_agent", {"agent": "FredAgent"}),
        ("manage_model", share),
    ):
        await call(ledger, connected["operator"], tool, given)
