"""Leases for predictors, and the halt that works through them.

A predictor emits only under a lease of this hub, which runs ``lease_s`` from the moment it asked.
The hub counts the lease from the moment it heard, which is later: when the hub says that a lease
has run out, it has. A halt is answered when every predictor has confirmed its epoch or holds no
lease any more, the ones included that a hub before this one may have served.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from relentless.configs.clock import Clock
from relentless.mcp_server.halt import Halt, read_halt, write_halt
from relentless.mcp_server.pulse import Pulse
from relentless.proto.daily import DailyContext
from relentless.proto.errors import RelentlessError, Unavailable
from relentless.store.ports import Journal, Principal
from relentless.tools.ports import Confirmation, HaltView

MAX_WAIT_S: Final = 0.4
FORGET_S: Final = 3_600.0
"""A predictor not heard of for this long is no longer shown."""
MAX_PREDICTORS: Final = 1_000


class LeaseRequest(BaseModel):
    """What a predictor says when it asks for a lease."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    predictor_id: str = Field(min_length=1, max_length=128)
    halt_epoch: int = Field(default=-1, ge=-1)
    """The newest epoch that it has seen and obeys."""
    context_id: str | None = None
    """The newest context that it holds."""
    wait_s: float = Field(default=0.0, ge=0, le=MAX_WAIT_S)
    stats: dict[str, JsonValue] = {}


class Lease(BaseModel):
    """What the hub answers. While halted it grants nothing."""

    lease_s: float
    halt_epoch: int
    halted: bool
    reason: str
    context: DailyContext | None
    canary_share: float


@dataclass(slots=True)
class Holder:
    """One predictor."""

    confirmed: int = -1
    granted_until: float = 0.0
    """Monotonic seconds after which no grant of this hub is in force."""
    heard: float = 0.0
    stats: dict[str, Any] = field(default_factory=dict)


class LeaseControl:
    """The halt and the leases; satisfies ``tools.ports.Control``."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        latest: Callable[[], DailyContext | None],
        *,
        lease_s: float,
        canary_share: float,
        on_heard: Callable[[Mapping[str, Any]], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._latest = latest
        self._lease_s = lease_s
        self.canary_share = canary_share
        self._on_heard = on_heard
        self._monotonic = monotonic
        self._holders: dict[str, Holder] = {}
        self._unknown_until = monotonic() + lease_s
        self._setting = asyncio.Lock()
        self.pulse = Pulse()
        self.halt = Halt(halted=True, reason="the hub is starting")

    async def recover(self) -> None:
        """Take up the halt as it was kept. Until then nothing is granted."""
        self.halt = await read_halt(self._journal)

    async def lease(self, request: LeaseRequest) -> Lease:
        """Answer a predictor: at once where it lacks news, else after ``wait_s``.

        Raises:
            Unavailable: too many predictors.
        """
        heard = self._monotonic()
        holder = self._holder(request, heard)
        deadline = heard + request.wait_s
        while True:
            changed = self.pulse.next()
            left = deadline - self._monotonic()
            if left <= 0 or self._news(request) or self.pulse.closed:
                return self._grant(request, holder, heard)
            try:
                async with asyncio.timeout(left):
                    await changed
            except TimeoutError:
                continue

    async def set_halt(self, caller: Principal, halted: bool, reason: str) -> HaltView:
        """Halt or resume; answers when every predictor confirmed or its lease has run out.

        Raises:
            Unavailable: the journal cannot keep it; a halt then holds until the hub restarts.
        """
        async with self._setting:
            now = self._clock.now()
            try:
                self.halt = await write_halt(self._journal, self.halt, caller, halted, reason, now)
            except RelentlessError as error:
                if not halted:
                    raise Unavailable(f"trading stays as it was: {error}") from error
                self.halt = Halt(self.halt.epoch + 1, True, reason, caller.name, now.isoformat())
                self.pulse.beat()
                await self._settled(self.halt.epoch)
                raise Unavailable(
                    f"trading is halted, but the halt could not be kept ({error}): it ends with "
                    "this process; mend the journal's disk and set it again"
                ) from error
            self.pulse.beat()
            confirmations = await self._settled(self.halt.epoch)
            return self.view(confirmations)

    def view(self, confirmations: list[Confirmation] | None = None) -> HaltView:
        """Give the halt as it is."""
        halt = self.halt
        return HaltView(
            halted=halt.halted,
            epoch=halt.epoch,
            reason=halt.reason,
            by=halt.by,
            at=halt.at,
            predictors=confirmations or [],
        )

    def predictors(self) -> dict[str, dict[str, Any]]:
        """Give each predictor: whether its lease is live, the epoch it obeys, what it reports."""
        now = self._monotonic()
        return {
            name: {
                "live": now - holder.heard <= self._lease_s,
                "halt_epoch": holder.confirmed,
                **holder.stats,
            }
            for name, holder in sorted(self._holders.items())
        }

    async def _settled(self, epoch: int) -> list[Confirmation]:
        """Wait until nobody can emit under an older epoch; gives how each came to that."""
        while True:
            changed = self.pulse.next()
            now = self._monotonic()
            open_until = [
                holder.granted_until
                for holder in self._holders.values()
                if holder.confirmed < epoch and holder.granted_until > now
            ]
            if now < self._unknown_until:
                open_until.append(self._unknown_until)
            if not open_until:
                return [
                    Confirmation(
                        predictor_id=name,
                        by="confirmed" if holder.confirmed >= epoch else "lease_ended",
                    )
                    for name, holder in sorted(self._holders.items())
                ]
            try:
                async with asyncio.timeout(max(open_until) - now):
                    await changed
            except TimeoutError:
                continue

    def _holder(self, request: LeaseRequest, heard: float) -> Holder:
        holder = self._holders.get(request.predictor_id)
        if holder is None:
            self._forget(heard)
            if len(self._holders) >= MAX_PREDICTORS:
                raise Unavailable("too many predictors ask for leases")
            holder = self._holders[request.predictor_id] = Holder()
        holder.heard = heard
        holder.stats = request.stats
        self._on_heard(request.stats)
        if request.halt_epoch != holder.confirmed:
            holder.confirmed = min(request.halt_epoch, self.halt.epoch)
            self.pulse.beat()
        return holder

    def _forget(self, now: float) -> None:
        for name in [n for n, h in self._holders.items() if now - h.heard > FORGET_S]:
            del self._holders[name]

    def _news(self, request: LeaseRequest) -> bool:
        latest = self._latest()
        return request.halt_epoch != self.halt.epoch or (
            latest is not None and latest.context_id != request.context_id
        )

    def _grant(self, request: LeaseRequest, holder: Holder, heard: float) -> Lease:
        if not self.halt.halted:
            holder.granted_until = max(holder.granted_until, heard + self._lease_s)
        latest = self._latest()
        fresh = latest is not None and latest.context_id != request.context_id
        return Lease(
            lease_s=self._lease_s,
            halt_epoch=self.halt.epoch,
            halted=self.halt.halted,
            reason=self.halt.reason,
            context=latest if fresh else None,
            canary_share=self.canary_share,
        )
