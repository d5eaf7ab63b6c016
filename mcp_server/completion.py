"""What may stand in an argument: symbols, agents, topics and dates, by their beginning.

Above stands the protocol. Nobody is offered what the caller may not read: each list is behind the
resource that holds it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Final

import mcp_types as types

from relentless.proto.contexts import Topic
from relentless.tools.access import COMPLETIONS
from relentless.tools.ports import Agents

MOST: Final = 100
"""Values in one answer: the protocol's limit."""

Dates = Callable[[], Awaitable[Sequence[date]]]


class Completions:
    """Completes arguments of prompts and of resource templates, by the argument's name."""

    def __init__(
        self,
        gate: Callable[[str], object],
        symbols: Callable[[], Mapping[str, int]],
        agents: Agents,
        dates: Dates,
    ) -> None:
        """Take where the values are, and ``gate``, which raises where a URI may not be read."""
        self._gate = gate
        self._symbols = symbols
        self._agents = agents
        self._dates = dates

    async def complete(self, argument: str, begun: str) -> types.Completion:
        """Give the values of an argument that begin as written, in any case.

        An argument that has no list has no values.

        Raises:
            Unauthenticated, Forbidden, Overloaded: the caller may not read the list, or not now.
        """
        found = [v for v in await self._values(argument) if v.lower().startswith(begun.lower())]
        return types.Completion(values=found[:MOST], total=len(found), has_more=len(found) > MOST)

    async def _values(self, argument: str) -> Sequence[str]:
        if argument in COMPLETIONS:
            self._gate(COMPLETIONS[argument])
        match argument:
            case "symbol":
                return sorted(self._symbols())
            case "agent":
                return [view.agent for view in self._agents.agents()]
            case "date":
                return [day.isoformat() for day in await self._dates()]
            case "topic":
                return [topic.value for topic in Topic]
            case _:
                return ()
