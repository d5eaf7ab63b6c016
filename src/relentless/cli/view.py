"""What a run looks like now: one snapshot, filled from the hub and the feed, shown by any reporter.

The watcher is a client like any other: it holds the reader's key, calls the hub's tools and reads
the signal feed. It never touches the processes' files.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from relentless.configs.clock import from_ns
from relentless.configs.settings import Settings
from relentless.proto.errors import RelentlessError
from relentless.proto.signal import Flag, Signal
from relentless.serving.clients.feed import FeedClient, Received
from relentless.store.keys import local_credential

if TYPE_CHECKING:
    from relentless.serving.clients.hub import HubClient

POLL_S = 0.5
KEPT_SIGNALS = 64

Notify = Callable[[str, dict[str, Any]], None]


@dataclass
class Snapshot:
    """Everything that the screen shows."""

    title: str
    agents: list[dict[str, Any]] = field(default_factory=list)
    context: dict[str, Any] | None = None
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Every context seen, by id."""
    signals: deque[Signal] = field(default_factory=lambda: deque(maxlen=KEPT_SIGNALS))
    symbols: dict[int, str] = field(default_factory=dict)
    signal_count: int = 0
    synthetic: bool = False
    stats: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    first_signal_s: float | None = None
    """Wall seconds from the start of the run to the first signal."""
    events: deque[str] = field(default_factory=lambda: deque(maxlen=50))


class Watcher:
    """Keeps a snapshot fresh and says what happened."""

    def __init__(
        self, settings: Settings, snapshot: Snapshot, notify: Notify, begun: float
    ) -> None:
        self._settings = settings
        self._notify = notify
        self._begun = begun
        self._symbols_known = False
        self.snapshot = snapshot
        self.signalled = asyncio.Event()

    async def poll(self) -> None:
        """Ask the hub again and again, until cancelled."""
        # The protocol's library takes a second to import: in a thread, once there is a hub.
        clients = await asyncio.to_thread(import_module, "relentless.serving.clients.hub")
        credential = local_credential(self._settings.paths.state, "reader")
        at = self._settings.hub
        while True:
            try:
                async with clients.HubClient(at.url, credential, tls=at.calling()) as hub:
                    while True:
                        await self._look(hub)
                        await asyncio.sleep(POLL_S)
            except (RelentlessError, OSError, ExceptionGroup):
                await asyncio.sleep(POLL_S)

    async def _look(self, hub: "HubClient") -> None:
        snapshot = self.snapshot
        snapshot.status = (await hub.call("get_status"))["status"]
        snapshot.stats = next(iter(snapshot.status["predictors"].values()), {})
        listed = await hub.call("list_agents")
        for agent in listed["agents"]:
            self._compare_agent(agent)
        snapshot.agents = listed["agents"]
        newest = snapshot.status["contexts"]["latest"]
        if newest and newest["context_id"] not in snapshot.contexts:
            context = (await hub.daily_context()).model_dump(mode="json")
            self._save(context)
            snapshot.contexts[context["context_id"]] = context
            snapshot.context = context
            flagged = [
                name
                for name, item in context["provenance"].items()
                if item["quality"] in ("stale", "missing")
            ]
            self._notify(
                "context",
                {
                    "context_id": context["context_id"],
                    "as_of": context["as_of"],
                    "flagged": flagged,
                },
            )

    def _save(self, context: dict[str, Any]) -> None:
        """Keep every context seen as a file, for people and for checks."""
        folder = self._settings.paths.state / "contexts"
        folder.mkdir(exist_ok=True)
        stamp = context["as_of"].replace(":", "").replace("-", "")
        path = folder / f"{stamp}-{context['context_id'][:12]}.json"
        path.write_text(json.dumps(context, indent=1, sort_keys=True))

    def _compare_agent(self, agent: dict[str, Any]) -> None:
        run = agent.get("last_run")
        before = next((a for a in self.snapshot.agents if a["agent"] == agent["agent"]), {})
        if run and run != before.get("last_run"):
            self._notify("agent", {"agent": agent["agent"], **run})

    async def listen(self) -> None:
        """Read the signal feed, until cancelled."""
        tick = self._settings.predictor
        credential = local_credential(self._settings.paths.state, "reader")
        address = f"{tick.host}:{tick.feed_port}"
        async with FeedClient(address, credential, next_sequence=1, tls=tick.calling()) as feed:
            async for event in feed:
                if isinstance(event, Received):
                    self._take(event, feed.symbols)

    def _take(self, event: Received, symbols: dict[int, str]) -> None:
        signal = event.signal
        snapshot = self.snapshot
        snapshot.symbols = symbols
        snapshot.signals.append(signal)
        snapshot.signal_count += 1
        snapshot.synthetic = bool(signal.flags & Flag.SYNTHETIC)
        if snapshot.first_signal_s is None:
            snapshot.first_signal_s = time.monotonic() - self._begun
            self._notify(
                "first_signal",
                {
                    "after_s": round(snapshot.first_signal_s, 2),
                    "symbol": symbols.get(signal.symbol_id, str(signal.symbol_id)),
                    "at": from_ns(signal.timestamp).isoformat(),
                    "frame": event.frame.hex(),
                },
            )
        self.signalled.set()
