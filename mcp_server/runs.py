"""Asking agents to run now: a durable note in the agent's inbox, and its next heartbeat's answer.

The hub cannot call an agent; agents call the hub. So a request stands until the agent reports a run
that it had not reported before, and one that stands is not made again.
"""

import asyncio
import uuid
from typing import Final

from relentless.configs.clock import Clock
from relentless.mcp_server.exchange import HUB, MessageExchange
from relentless.mcp_server.registry import Registry
from relentless.proto.contexts import Topic
from relentless.proto.errors import NotFound
from relentless.proto.messages import ContextMessage
from relentless.store.ports import Principal
from relentless.tools.ports import AgentView, Progress, RunAsked

TELL_S: Final = 5.0
"""Wall seconds between two words on how the wait goes."""


class AgentRuns:
    """Satisfies ``tools.ports.Runs``."""

    def __init__(self, registry: Registry, exchange: MessageExchange, clock: Clock) -> None:
        self._registry = registry
        self._exchange = exchange
        self._clock = clock
        self._asking = asyncio.Lock()

    async def ask(
        self, caller: Principal, agent: str, wait_s: float, progress: Progress
    ) -> RunAsked:
        """Ask an agent to run now, and wait up to ``wait_s`` for its report."""
        before = self._view(agent)
        async with self._asking:
            request = self._registry.requested(agent)
            if request is None:
                request = f"run-{uuid.uuid4().hex}"
                await self._exchange.announce(self._note(caller, agent, request))
                self._registry.request(agent, request)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            changed = self._registry.pulse.next()
            now = self._view(agent)
            waited = loop.time() - began
            finished = self._registry.requested(agent) != request
            if finished or waited >= wait_s or self._registry.pulse.closed:
                return RunAsked(
                    agent=agent,
                    request_id=request,
                    alive=now.alive,
                    last_seen_s=before.last_seen_s,
                    finished=finished,
                    last_run=now.last_run if finished else None,
                )
            await progress(waited, wait_s, f"{agent} was asked; no report yet")
            try:
                async with asyncio.timeout(min(TELL_S, wait_s - waited)):
                    await changed
            except TimeoutError:
                continue

    def _view(self, name: str) -> AgentView:
        agents = {view.agent: view for view in self._registry.agents()}
        if name not in agents:
            raise NotFound(f"no agent {name}; there are {', '.join(agents) or 'none yet'}")
        return agents[name]

    def _note(self, caller: Principal, agent: str, request: str) -> ContextMessage:
        now = self._clock.now()
        return ContextMessage(
            timestamp=now,
            source_agent=HUB,
            target_agent=agent,
            topic=Topic.NOTE,
            context={"command": "run", "request_id": request, "asked_by": caller.name},
            message_id=request,
            known_at=now,
        )
