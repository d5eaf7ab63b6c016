"""The tools of operating: ``get_status``, ``manage_model`` and ``set_trading_halt``."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from relentless.proto.errors import InvalidInput
from relentless.store.ports import Principal
from relentless.tools.ports import Control, HaltView, Models, ModelView, Shape, Status


class StatusAnswer(Shape):
    """The state of the whole."""

    status: dict[str, JsonValue]


class OperatorTools:
    """The state, and the halt."""

    def __init__(self, control: Control, status: Status, models: Models) -> None:
        self._control = control
        self._status = status
        self._models = models

    async def get_status(self, caller: Principal) -> StatusAnswer:
        """Get the state: clock, halt, journal, contexts, agents, predictors, memory, versions."""
        return StatusAnswer(status=self._status.status())

    async def manage_model(
        self,
        caller: Principal,
        action: Literal["status", "promote", "roll_back", "set_canary_share"],
        version: Annotated[
            int | None, Field(ge=1, description="To promote; default the canary")
        ] = None,
        share: Annotated[
            float | None, Field(ge=0, le=1, description="Of the symbol-minutes")
        ] = None,
        reason: Annotated[
            str, Field(max_length=200, description="Kept; all but status need it")
        ] = "",
    ) -> ModelView:
        """Show the model's versions and labels, or change which one serves.

        promote makes the canary stable; roll_back returns to the stable version before; share 0
        takes the canary out. Predictors follow within seconds.
        """
        _only(action, version=version, share=share)
        if action == "status":
            return await self._models.view()
        if not reason.strip():
            raise InvalidInput(f"{action} needs a reason; it is kept in the journal")
        if action == "promote":
            return await self._models.promote(caller, version, reason)
        if action == "roll_back":
            return await self._models.roll_back(caller, reason)
        if share is None:
            raise InvalidInput("set_canary_share needs share, from 0 to 1")
        return await self._models.set_canary_share(caller, share, reason)

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


_TAKES = {"promote": "version", "set_canary_share": "share"}


def _only(action: str, **given: object) -> None:
    """Hold an action to its own arguments: a stray one may mean another action.

    Raises:
        InvalidInput: one that the action does not take.
    """
    for name, value in given.items():
        if value is not None and _TAKES.get(action) != name:
            raise InvalidInput(f"{action} takes no {name}")
