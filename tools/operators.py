"""The tools of operating: ``get_status`` and ``set_trading_halt``."""

from typing import Annotated

from pydantic import Field, JsonValue

from relentless.store.ports import Principal
from relentless.tools.ports import Control, HaltView, Shape, Status


class StatusAnswer(Shape):
    """The state of the whole."""

    status: dict[str, JsonValue]


class OperatorTools:
    """The state, and the halt."""

    def __init__(self, control: Control, status: Status) -> None:
        self._control = control
        self._status = status

    async def get_status(self, caller: Principal) -> StatusAnswer:
        """Get the state: clock, halt, journal, contexts, agents, predictors, memory, versions."""
        return StatusAnswer(status=self._status.status())

    async def set_trading_halt(
        self,
        caller: Principal,
        halted: bool,
        reason: Annotated[str, Field(min_length=1, max_length=200)],
    ) -> HaltView:
        """Halt all signals (true), or resume (false); the reason is kept.

        Answers when every live predictor has confirmed, or its lease of a second has run out: after
        a halt that was answered no signal is emitted. A halt survives restarts.
        """
        return await self._control.set_halt(caller, halted, reason)
