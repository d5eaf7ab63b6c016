"""``manage_model``: which version of the model serves, changed at the model server and kept.

The model server holds the labels and the predictors follow them; the canary's share goes out with
the leases. Each change is written to the journal before it is made, with what was there before, so
that a promotion can be taken back after a restart. While this process runs it sets the labels again
where a restarted model server has come up with those of its own file.
"""

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final

import structlog

from relentless.configs.clock import Clock
from relentless.configs.tick_path import ModelServerSettings
from relentless.mcp_server.control import LeaseControl
from relentless.proto.base import canonical_json, iso
from relentless.proto.errors import Conflict, ModelError, NotFound
from relentless.store.ports import Journal, Kind, NewEntry, Principal
from relentless.tools.ports import ModelView, VersionView

if TYPE_CHECKING:
    from relentless.serving.tf_client import TfServingPredictor, VersionStatus

log = structlog.get_logger()

CHECK_S: Final = 5.0
"""Wall seconds between two looks at whether the server's labels are the kept ones."""
SERVES: Final = "AVAILABLE"


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal says of the model; empty where nobody has changed anything."""

    labels: dict[str, int] = field(default_factory=dict)
    previous: int | None = None
    share: float | None = None


class ModelControl:
    """Satisfies ``tools.ports.Models``."""

    def __init__(
        self,
        settings: ModelServerSettings,
        journal: Journal,
        clock: Clock,
        control: LeaseControl,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._control = control
        self._opening = threading.Lock()
        self._opened: TfServingPredictor | None = None
        self._kept = Kept()
        self._changing = asyncio.Lock()

    async def recover(self) -> None:
        """Take up labels and share as they were last changed."""
        entries = await self._journal.read(Kind.MODEL, limit=1, newest_first=True)
        for entry in entries:
            self._kept = Kept(**json.loads(entry.body)["kept"])
        if self._kept.share is not None:
            self._control.canary_share = self._kept.share

    async def view(self) -> ModelView:
        """Give versions, labels and the canary's share."""
        versions, labels = await asyncio.to_thread(self._seen)
        return self._view(versions, labels)

    async def promote(self, caller: Principal, version: int | None, reason: str) -> ModelView:
        """Make a version stable, by default the canary."""
        async with self._changing:
            versions, labels = await asyncio.to_thread(self._seen)
            wanted = version if version is not None else labels.get("canary")
            if wanted is None:
                raise NotFound("no version is labelled canary; name the version to promote")
            _serving(versions, wanted)
            if wanted == labels.get("stable"):
                raise Conflict(f"version {wanted} is stable already")
            return await self._stable(caller, "promote", reason, wanted, labels)

    async def roll_back(self, caller: Principal, reason: str) -> ModelView:
        """Make the version stable that was before the last promotion."""
        async with self._changing:
            versions, labels = await asyncio.to_thread(self._seen)
            wanted = self._kept.previous
            if wanted is None:
                raise NotFound("nothing was promoted that could be rolled back")
            _serving(versions, wanted)
            return await self._stable(caller, "roll_back", reason, wanted, labels)

    async def set_canary_share(self, caller: Principal, share: float, reason: str) -> ModelView:
        """Send this share of the symbol-minutes to the canary; 0 takes it out of the traffic."""
        async with self._changing:
            await self._keep(caller, "set_canary_share", reason, replace(self._kept, share=share))
            self._control.canary_share = share
        return await self.view()

    async def run(self) -> None:
        """Set the kept labels again where the server has others, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            if self._kept.labels:
                try:
                    await self.restore()
                except ModelError as error:
                    log.warning("labels not set", error=str(error))

    async def restore(self) -> None:
        """Set the kept labels where the server has others and serves what they name.

        Raises:
            ModelError: the server does not answer, or refuses.
        """
        async with self._changing:
            wanted = dict(self._kept.labels)
            versions, labels = await asyncio.to_thread(self._seen)
            serving = {entry.version for entry in versions if entry.state == SERVES}
            if wanted and labels != wanted and set(wanted.values()) <= serving:
                await asyncio.to_thread(self._relabel, wanted)
                log.info("labels set again", labels=wanted, were=labels)

    async def _stable(
        self,
        caller: Principal,
        action: str,
        reason: str,
        wanted: int,
        labels: Mapping[str, int],
    ) -> ModelView:
        """Keep that a version is stable, then make it so; what the server refuses is taken back."""
        others = {name: number for name, number in labels.items() if number != wanted}
        after = others | {"stable": wanted}
        before = self._kept
        previous = labels.get("stable") if action == "promote" else None
        await self._keep(caller, action, reason, Kept(after, previous, before.share))
        try:
            await asyncio.to_thread(self._relabel, after)
        except ModelError:
            await self._keep(caller, f"{action}_refused", reason, before)
            raise
        log.info("labels changed", action=action, labels=after, by=caller.name)
        return await self.view()

    async def _keep(self, caller: Principal, action: str, reason: str, kept: Kept) -> None:
        at = iso(self._clock.now())
        said = {"action": action, "reason": reason, "at": at, "kept": asdict(kept)}
        entry = NewEntry(Kind.MODEL, canonical_json(said), principal=caller.name)
        await self._journal.append([entry])
        self._kept = kept

    def close(self) -> None:
        """Let go of the connection."""
        if self._opened is not None:
            self._opened.close()

    def _client(self) -> "TfServingPredictor":
        with self._opening:
            if self._opened is None:
                from relentless.serving.backends import single

                self._opened = single(self._settings)
            return self._opened

    def _relabel(self, labels: Mapping[str, int]) -> None:
        from relentless.serving.backends import channel_to
        from relentless.serving.relabel import relabel

        mine = self._settings
        relabel(mine.address, mine.name, labels, channel=channel_to(mine.address, mine))

    def _seen(self) -> "tuple[list[VersionStatus], dict[str, int]]":
        client = self._client()
        return client.status(), dict(client.labels())

    def _view(self, versions: "list[VersionStatus]", labels: dict[str, int]) -> ModelView:
        return ModelView(
            model=self._settings.name,
            versions=[
                VersionView(version=entry.version, state=entry.state, error=entry.error)
                for entry in versions
            ],
            labels=labels,
            canary_share=self._control.canary_share,
            previous_stable=self._kept.previous,
            predictors={
                name: said["model_versions"]
                for name, said in self._control.predictors().items()
                if said["live"] and isinstance(said.get("model_versions"), dict)
            },
        )


def _serving(versions: "list[VersionStatus]", wanted: int) -> None:
    """Raise unless a version serves.

    Raises:
        NotFound: the server does not know it.
        Conflict: it knows it, and it does not serve.
    """
    found = next((entry for entry in versions if entry.version == wanted), None)
    if found is None:
        known = ", ".join(str(entry.version) for entry in versions)
        raise NotFound(f"the model server has no version {wanted}; it has {known}")
    if found.state != SERVES:
        why = f": {found.error}" if found.error else ""
        raise Conflict(f"version {wanted} does not serve ({found.state}){why}")
