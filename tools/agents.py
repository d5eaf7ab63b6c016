"""The tools of taking part: ``register_agent``, ``list_agents``, ``run_agent``."""

from typing import Annotated

from pydantic import Field

from relentless.proto.base import Name
from relentless.proto.contexts import Topic
from relentless.proto.errors import Forbidden
from relentless.store.ports import Principal
from relentless.tools.ports import (
    Agents,
    AgentView,
    LastRun,
    Progress,
    Registration,
    RunAsked,
    Runs,
    Shape,
)

Schedule = Annotated[
    list[Annotated[str, Field(max_length=80)]],
    Field(max_length=50, description='Exchange time on exchange days: "05:15" or a crontab line'),
]


MAX_WAIT_S = 300.0


class AgentList(Shape):
    """Every registered agent."""

    agents: list[AgentView]


class AgentTools:
    """Registration and liveness."""

    def __init__(self, agents: Agents, runs: Runs) -> None:
        self._agents = agents
        self._runs = runs

    async def register_agent(
        self,
        caller: Principal,
        name: Name | None = None,
        topics: list[Topic] | None = None,
        schedule: Schedule | None = None,
        last_run: LastRun | None = None,
    ) -> Registration:
        """Register yourself, or renew your lease and report your last run (the heartbeat).

        What is left out stays as it was. Any call renews the lease too.
        """
        if name is not None and name != caller.name:
            raise Forbidden(f"this key belongs to {caller.name}; register as that, or leave it out")
        return await self._agents.register(caller, topics, schedule, last_run)

    async def list_agents(self, caller: Principal) -> AgentList:
        """List the agents: topics, schedule, last run with its gaps, and whether each is alive."""
        return AgentList(agents=self._agents.agents())

    async def run_agent(
        self,
        caller: Principal,
        progress: Progress,
        agent: Name,
        wait_s: Annotated[
            float, Field(ge=0, le=MAX_WAIT_S, description="Wait so long for its report")
        ] = 0.0,
    ) -> RunAsked:
        """Ask a registered agent to run now: a durable note in its inbox, and its next heartbeat.

        A request that is open already is not made twice.
        """
        return await self._runs.ask(caller, agent, wait_s, progress)
