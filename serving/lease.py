"""The predictor's side of the lease: may signals leave now, under which context?

Signals leave only under a lease that the hub grants for about a second, and only while nobody has
halted trading. Everything fails closed: no answer, a late one, one that cannot be read, and one
under another halt epoch all grant nothing. The order that promise P9 rests on: a new epoch first
stops the emission (:class:`Emission`, until nothing more can leave), and only then is it confirmed,
by the next request.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relentless.proto.daily import DailyContext
from relentless.serving.gates import Reason

MARGIN = 0.1
"""Share of a lease that is given away, for the time that a write takes to leave."""
WAIT_S = 0.25
"""How long the hub may hold a request that has no news, well under a lease."""
_log = structlog.get_logger(__name__)


class Emission(Protocol):
    """What the lease starts and stops. Called on the event loop, one at a time."""

    async def stop(self) -> None:
        """Return once no signal can leave."""
        ...

    def resume(self) -> None:
        """Signals may leave again."""
        ...

    def use_context(self, context: DailyContext) -> None:
        """Join every later tick to this context."""
        ...

    def use_canary_share(self, share: float) -> None:
        """Send this share of the symbol-minutes to the canary."""
        ...

    def statistics(self) -> Mapping[str, Any]:
        """Give what the hub shows of this predictor."""
        ...


class Grant(BaseModel):
    """The hub's answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    lease_s: float = Field(gt=0, le=60)
    halt_epoch: int = Field(ge=0)
    halted: bool
    reason: str = ""
    context: DailyContext | None = None
    canary_share: float = Field(default=0.0, ge=0, le=1)


class Lease:
    """The state of the right to emit: pure, with monotonic wall seconds from outside."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = -1.0
        self.confirmed = -1
        """The newest epoch under which emission was stopped; -1 before the first."""
        self.halted = True
        self.reason = "no answer from the hub yet"

    def permitted(self) -> bool:
        """Say whether a signal may leave at this moment."""
        return not self.halted and self._monotonic() < self._until

    def refusal(self) -> int:
        """Give the gates' reason against every signal now, or 0."""
        if self.halted:
            return Reason.HALTED if self.confirmed >= 0 else Reason.NO_LEASE
        return 0 if self._monotonic() < self._until else Reason.NO_LEASE

    def must_stop(self, grant: Grant) -> bool:
        """Say whether this answer ends what was granted before."""
        return grant.halted or grant.halt_epoch != self.confirmed

    def stopped(self, grant: Grant) -> None:
        """Note that emission stopped: the epoch may be confirmed, nothing is granted under it."""
        self.confirmed = grant.halt_epoch
        self.halted = grant.halted
        self.reason = grant.reason
        self._until = -1.0

    def revoke(self) -> None:
        """Grant nothing from now on."""
        self._until = -1.0

    def extend(self, sent: float, lease_s: float) -> None:
        """Grant ``lease_s`` from the moment that the request was sent, less the margin."""
        self.halted = False
        self.reason = ""
        self._until = max(self._until, sent + lease_s * (1.0 - MARGIN))

    def left(self) -> float:
        """Give the seconds until the lease ends; negative where it has."""
        return self._until - self._monotonic()


class LeaseClient:
    """Asks the hub for leases, one request at a time, until it is cancelled.

    Args:
        client: HTTP to the hub, its base URL set; owned by the caller.
        credential: an API key of role predictor.
        predictor_id: this predictor's name at the hub.
        lease: the state that it keeps.
        emission: what it starts and stops.
        wait_s: how long the hub may hold a request that has no news.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        credential: str,
        predictor_id: str,
        lease: Lease,
        emission: Emission,
        wait_s: float = WAIT_S,
    ) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {credential}"}
        self._id = predictor_id
        self._wait_s = wait_s
        self._lease = lease
        self._emission = emission
        self._context_id: str | None = None
        self._emitting = False
        self._granting = False
        self._expiry: asyncio.Task[None] | None = None
        self.failures = 0

    async def run(self) -> None:
        """Hold a lease for as long as the hub grants one."""
        pause = 0.02
        self._expiry = asyncio.create_task(self._watch(), name="lease-expiry")
        try:
            while True:
                try:
                    await self._once()
                    pause = 0.02
                except (httpx.HTTPError, ValidationError, ValueError) as error:
                    self.failures += 1
                    if self.failures == 1 or self.failures % 50 == 0:
                        _log.warning("no lease", error=type(error).__name__, times=self.failures)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 0.5)
        finally:
            self._expiry.cancel()
            self._lease.revoke()

    async def _once(self) -> None:
        """Ask once, and do what the answer says."""
        sent = time.monotonic()
        request = {
            "predictor_id": self._id,
            "halt_epoch": self._lease.confirmed,
            "context_id": self._context_id,
            "wait_s": 0.0 if self._granting and not self._emitting else self._wait_s,
            "stats": dict(self._emission.statistics()),
        }
        response = await self._client.post("/control/lease", json=request, headers=self._headers)
        response.raise_for_status()
        grant = Grant.model_validate_json(response.content)
        await self._apply(grant, sent)

    async def _apply(self, grant: Grant, sent: float) -> None:
        self._granting = not grant.halted
        if self._lease.must_stop(grant):
            news = self._emitting or grant.halt_epoch != self._lease.confirmed
            self._lease.revoke()
            self._lease.halted = True
            if news:
                await self._emission.stop()
                self._emitting = False
                _log.info("halt epoch", epoch=grant.halt_epoch, halted=grant.halted)
            self._lease.stopped(grant)
        else:
            if self._emitting and not self._lease.permitted():
                # It ran out, and nobody has seen it yet: what waits for an end waits for this one.
                self._emitting = False
                await self._emission.stop()
            self._lease.extend(sent, grant.lease_s)
        self._emission.use_canary_share(grant.canary_share)
        if grant.context is not None:
            self._emission.use_context(grant.context)
            self._context_id = grant.context.context_id
        if self._lease.permitted() and not self._emitting:
            self._emitting = True
            self._emission.resume()

    async def _watch(self) -> None:
        """Stop the emission when a lease runs out unrenewed."""
        while True:
            left = self._lease.left()
            if left > 0:
                await asyncio.sleep(left)
            elif self._emitting:
                self._emitting = False
                await self._emission.stop()
            else:
                await asyncio.sleep(0.02)
