"""The bills as known at market time: what of each may be said today.

A bill's state changes when a day ends in New York, so one pass over the library serves until then.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from relentless.sandbox.actions import Action, actions, known_at
from relentless.sandbox.library import Bill
from relentless.sandbox.world import World


@dataclass(frozen=True, slots=True)
class State:
    """One bill as known on a day."""

    bill: Bill
    actions: tuple[Action, ...]
    """Newest first; never empty."""

    @property
    def latest(self) -> Action:
        """The newest action."""
        return self.actions[0]

    @property
    def updated(self) -> datetime:
        """When the record was touched: when its latest action became known."""
        return known_at(self.latest.day)

    @property
    def law(self) -> str:
        """The law's number once the signing is known; "" before that, and where it has none."""
        signed = any(action.kind == "BecameLaw" for action in self.actions)
        return self.bill.law if signed else ""


class Docket:
    """Every bill's state, rebuilt once a market day."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._through: date | None = None
        self._states: dict[tuple[int, str, int], State] = {}

    def states(self) -> list[State]:
        """Give every bill that is known, in the order of the library."""
        self._refresh()
        return list(self._states.values())

    def state(self, key: tuple[int, str, int]) -> State | None:
        """Give one bill; None where none of that number is known."""
        self._refresh()
        return self._states.get(key)

    def _refresh(self) -> None:
        """Rebuild the states once the market's date has changed: they tell up to yesterday."""
        through = self._world.today() - timedelta(days=1)
        if through == self._through:
            return
        self._states = {
            bill.key: State(bill, told)
            for bill in self._world.library.bills(through)
            if bill.first_day <= through and (told := actions(bill, through))
        }
        self._through = through
