"""Start processes, keep them running, end them in order. Knows nothing of what they do.

A process is ready once it prints its line on standard output (``configs.process.announce``). One
that ends unasked is started again with a growing pause, and never takes another with it. Standard
error goes to a file per process.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relentless.proto.errors import DeadlineExceeded, Unavailable

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 30.0
"""A process that ran this long starts again with the first pause."""
END_BUDGET_S = 3.5
"""Wall seconds for all processes to end: Ctrl-C takes 5 s at most, our own end among them."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Spec:
    """One process: its name, the words after ``relentless``, and when it ends (lower first)."""

    name: str
    arguments: tuple[str, ...]
    stage: int
    after: str | None = None
    """The process that it has no use without: it starts once that one is ready."""


@dataclass
class Child:
    """One process and what is known of it."""

    spec: Spec
    log: Path
    state: str = "starting"
    """starting, ready, restarting, ended."""
    restarts: int = 0
    address: dict[str, Any] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    last_exit: int | None = None


def _die_with_parent() -> None:
    """Ask Linux to end this child when the supervisor is gone, however it went."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Owns the processes of one run. Use as an async context manager: leaving ends them all."""

    def __init__(
        self,
        logs: Path,
        environment: Mapping[str, str],
        on_event: Callable[[str, str, dict[str, Any]], None],
        command: Sequence[str] = (sys.executable, "-m", "relentless"),
    ) -> None:
        self._logs = logs
        self._environment = {**os.environ, **environment}
        self._on_event = on_event
        self._command = command
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending = False
        self.children: dict[str, Child] = {}

    async def __aenter__(self) -> "Supervisor":
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    def start(self, spec: Spec) -> Child:
        """Start a process and keep it running until the end."""
        child = Child(spec, self._logs / f"{spec.name}.log")
        self.children[spec.name] = child
        self._tasks[spec.name] = asyncio.create_task(self._keep(child), name=f"keep-{spec.name}")
        return child

    async def wait_ready(self, names: Sequence[str], timeout_s: float) -> None:
        """Return once every named process said that it is ready.

        Raises:
            DeadlineExceeded: one did not in time; the message names it and its log.
            Unavailable: one keeps ending before it was ever ready.
        """
        deadline = time.monotonic() + timeout_s
        for name in names:
            child = self.children[name]
            while not child.ready.is_set():
                if child.restarts >= 3:
                    raise Unavailable(
                        f"{name} ended {child.restarts} times before it was ready "
                        f"(exit {child.last_exit}); its log: {child.log}\n{_tail(child.log)}"
                    )
                if (left := deadline - time.monotonic()) <= 0:
                    raise DeadlineExceeded(
                        f"{name} was not ready within {timeout_s:.0f} s; its log: {child.log}\n"
                        f"{_tail(child.log)}"
                    )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, 0.5)):
                        await child.ready.wait()

    async def _keep(self, child: Child) -> None:
        pause = FIRST_PAUSE_S
        if child.spec.after in self.children:
            await self.children[child.spec.after].ready.wait()
        while not self._ending:
            begun = time.monotonic()
            code = await self._run_once(child)
            child.last_exit = code
            child.ready.clear()
            if self._ending:
                break
            if time.monotonic() - begun > STEADY_S:
                pause = FIRST_PAUSE_S
            child.state = "restarting"
            child.restarts += 1
            self._on_event("restart", child.spec.name, {"exit": code, "pause_s": pause})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        child.state = "ended"

    async def _run_once(self, child: Child) -> int:
        child.state = "starting"
        with child.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *child.spec.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child.process = process
        try:
            if process.stdout is not None:
                async for line in process.stdout:
                    self._heard(child, line)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    def _heard(self, child: Child, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict) and "ready" in said:
            child.address = {key: value for key, value in said.items() if key != "ready"}
            child.state = "ready"
            child.ready.set()
            self._on_event("ready", child.spec.name, child.address)

    async def end(self, budget_s: float = END_BUDGET_S) -> None:
        """End every process: stage by stage with SIGTERM, with SIGKILL what is left at the end."""
        if self._ending:
            return
        self._ending = True
        deadline = time.monotonic() + budget_s
        stages = sorted({child.spec.stage for child in self.children.values()})
        for at, stage in enumerate(stages):
            share = (deadline - time.monotonic()) / (len(stages) - at)
            await self._end_stage(stage, max(share, 0.05))
        for child in self.children.values():
            if child.process is not None and child.process.returncode is None:
                self._on_event("killed", child.spec.name, {})
                child.process.kill()
                await child.process.wait()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _end_stage(self, stage: int, wait_s: float) -> None:
        waits = []
        for child in self.children.values():
            process = child.process
            if child.spec.stage == stage and process is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                waits.append(asyncio.create_task(process.wait()))
        if waits:
            _, pending = await asyncio.wait(waits, timeout=wait_s)
            for task in pending:
                task.cancel()


def _tail(path: Path, lines: int = 8) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
