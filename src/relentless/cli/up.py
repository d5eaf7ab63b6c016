"""``relentless up``: start everything, show it, end it in order."""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from relentless.cli.plan import Plan
from relentless.cli.supervisor import Supervisor
from relentless.configs.clock import EASTERN
from relentless.configs.process import configure_logging, stop_event
from relentless.configs.settings import Settings
from relentless.proto.errors import InvalidSettings, RelentlessError
from relentless.store.keys import ensure_local

if TYPE_CHECKING:  # what shows a run is imported while its processes start
    from relentless.cli.report import Reporter
    from relentless.cli.view import Watcher

START_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Limits:
    """When a run ends by itself; None is never."""

    seconds: float | None = None
    signals: int | None = None
    moment: datetime | None = None

    @classmethod
    def parse(
        cls, settings: Settings, for_: str | None, signals: int | None, until: str | None
    ) -> "Limits":
        """Read "90s", "5m", "1h", and a market time of day.

        Raises:
            InvalidSettings: neither form.
        """
        seconds = moment = None
        if for_ is not None:
            match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", for_)
            if match is None:
                raise InvalidSettings(f"--for takes 60s, 5m or 1h, not {for_!r}")
            seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
        if until is not None:
            now = settings.run_clock().now().astimezone(EASTERN)
            try:
                moment = datetime.fromisoformat(f"{now.date()}T{until}").replace(tzinfo=EASTERN)
            except ValueError as error:
                raise InvalidSettings(
                    f"--until takes a market time such as 09:45: {error}"
                ) from error
            if moment <= now:
                raise InvalidSettings(f"--until {until} is past: the run starts at {now:%H:%M} ET")
        return cls(seconds, signals, moment)


async def run_up(plan: Plan, limits: Limits, *, as_json: bool) -> int:
    """Run until Ctrl-C or a limit; give the exit code."""
    stop = stop_event()
    begun = time.monotonic()
    ensure_local(plan.settings.paths.state)
    early: list[tuple[str, dict[str, Any]]] = []
    tell = early.append

    def on_process(event: str, name: str, fields: dict[str, Any]) -> None:
        tell((event, {"process": name, **fields}))

    logs = plan.settings.paths.state / "logs"
    logs.mkdir(exist_ok=True)
    supervisor = Supervisor(logs, {"RELENTLESS_SETTINGS": str(plan.file)}, on_process)
    code = 0
    with (logs / "up.log").open("a", buffering=1) as log, contextlib.ExitStack() as shown:
        configure_logging("up", stream=log)
        try:
            async with supervisor:
                for spec in plan.specs:
                    supervisor.start(spec)
                reporter, watcher = await asyncio.to_thread(_show, plan, begun, as_json=as_json)
                shown.enter_context(reporter)
                for told in early:
                    reporter.event(*told)
                tell = lambda told: reporter.event(*told)  # noqa: E731
                code = await _supervise(plan, limits, supervisor, reporter, watcher, stop)
                reporter.event("ending", {})
        except (RelentlessError, ExceptionGroup) as error:
            reporter.event("failed", {"error": str(_cause(error))})
            code = 1
    reporter.summary(supervisor)
    return code


def _cause(error: Exception) -> Exception:
    """Give the error of ours inside groups; anything else is a defect and goes on up."""
    while isinstance(error, ExceptionGroup):
        ours = error.subgroup(RelentlessError)
        if ours is None:
            raise error
        error = ours.exceptions[0]
    return error


def _show(plan: Plan, begun: float, *, as_json: bool) -> "tuple[Reporter, Watcher]":
    """Give what shows a run that began at ``begun`` (monotonic seconds)."""
    from relentless.cli.report import choose_reporter
    from relentless.cli.view import Snapshot, Watcher

    snapshot = Snapshot(plan.title)
    reporter = choose_reporter(plan, snapshot, as_json=as_json)
    return reporter, Watcher(plan.settings, snapshot, reporter.event, begun)


async def _supervise(
    plan: Plan,
    limits: Limits,
    supervisor: Supervisor,
    reporter: "Reporter",
    watcher: "Watcher",
    stop: asyncio.Event,
) -> int:
    reporter.attach(supervisor)
    tasks = [
        asyncio.create_task(_watch(watcher, supervisor)),
        asyncio.create_task(reporter.refresh()),
        asyncio.create_task(_reach(limits, plan.settings, watcher)),
        asyncio.create_task(stop.wait()),
        asyncio.create_task(_all_ready(plan, supervisor)),
    ]
    watching, refreshing, reached, stopped, ready = tasks
    try:
        waiting: set[asyncio.Task[Any]] = {watching, refreshing, reached, stopped, ready}
        while not (stopped.done() or reached.done()):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        return 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(watcher: "Watcher", supervisor: Supervisor) -> None:
    """Ask the hub and read the feed once they are this run's own and ready."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_once_ready(supervisor, "hub", watcher.poll))
        group.create_task(_once_ready(supervisor, "predictor", watcher.listen))


async def _once_ready(
    supervisor: Supervisor, name: str, then: Callable[[], Awaitable[None]]
) -> None:
    await supervisor.children[name].ready.wait()
    await then()


async def _all_ready(plan: Plan, supervisor: Supervisor) -> None:
    await supervisor.wait_ready([spec.name for spec in plan.specs], START_TIMEOUT_S)


async def _reach(limits: Limits, settings: Settings, watcher: "Watcher") -> None:
    """Return once the first limit is reached; never without one."""
    clock = settings.run_clock()
    begun = time.monotonic()
    while True:
        if limits.seconds is not None and time.monotonic() - begun >= limits.seconds:
            return
        if limits.signals is not None and watcher.snapshot.signal_count >= limits.signals:
            return
        if limits.moment is not None and clock.now() >= limits.moment:
            return
        with contextlib.suppress(TimeoutError):  # wait_for loses a cancel that comes with a signal
            async with asyncio.timeout(0.2):
                await watcher.signalled.wait()
        watcher.signalled.clear()
