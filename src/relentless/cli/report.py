"""How a run is told: a live screen on a terminal, plain lines elsewhere, JSON lines for scripts."""

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from relentless.cli.plan import Plan
from relentless.cli.screen import connect_lines, describe, draw
from relentless.cli.supervisor import Supervisor
from relentless.cli.view import Snapshot

SUMMARY_EVERY_S = 10.0
BLOTTER = ("fills", "cash", "equity", "realised", "unrealised", "positions", "note")


class Reporter(ABC):
    """Tells what happens; a context manager around the run."""

    def __init__(self, plan: Plan, snapshot: Snapshot) -> None:
        self.plan = plan
        self.snapshot = snapshot
        self.supervisor: Supervisor | None = None

    def attach(self, supervisor: Supervisor) -> None:
        """Remember whose processes to show."""
        self.supervisor = supervisor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    @abstractmethod
    def event(self, kind: str, fields: dict[str, Any]) -> None:
        """Tell one event."""

    @abstractmethod
    async def refresh(self) -> None:
        """Keep telling, until cancelled."""

    @abstractmethod
    def summary(self, supervisor: Supervisor) -> None:
        """Tell how it ended and where things lie."""

    def facts(self) -> dict[str, Any]:
        """Give the run's figures so far."""
        snapshot = self.snapshot
        return {
            "signals": snapshot.signal_count,
            "first_signal_s": snapshot.first_signal_s,
            "contexts": [
                {"as_of": item["as_of"], "context_id": item["context_id"]}
                for item in snapshot.contexts.values()
            ],
            "ticks": snapshot.stats.get("ticks", 0),
            "p50_us": snapshot.stats.get("p50_us"),
            "p99_us": snapshot.stats.get("p99_us"),
            "state": str(self.plan.settings.paths.state),
        }

    def blotter(self) -> dict[str, Any]:
        """Give the paper trading agent's last figures, as it logged them; empty where none are."""
        try:
            log = (self.plan.settings.paths.state / "logs" / "trade.log").read_text()
        except OSError:
            return {}
        for line in reversed(log.splitlines()):
            if '"event": "blotter"' in line:
                said = json.loads(line)
                return {key: said[key] for key in BLOTTER if key in said}
        return {}


class JsonReporter(Reporter):
    """One JSON object a line on standard output."""

    def __enter__(self) -> Self:
        """Say what runs, and where."""
        settings = self.plan.settings
        self.event(
            "run",
            {
                "title": self.plan.title,
                "notes": self.plan.notes,
                "hub": settings.hub.url,
                "feed": f"{settings.predictor.host}:{settings.predictor.feed_port}",
                "grpc": f"{settings.predictor.host}:{settings.predictor.grpc_port}",
                "keys": str((settings.paths.state / "keys").resolve()),
                "state": str(settings.paths.state),
                "settings": str(self.plan.file),
            },
        )
        return self

    def event(self, kind: str, fields: dict[str, Any]) -> None:
        """Tell one event."""
        print(json.dumps({"event": kind, **fields}, default=str), flush=True)

    async def refresh(self) -> None:
        """Tell the figures every ten seconds."""
        while True:
            await asyncio.sleep(SUMMARY_EVERY_S)
            self.event("figures", self.facts())

    def summary(self, supervisor: Supervisor) -> None:
        """Tell the figures and the restarts."""
        restarts = {name: child.restarts for name, child in supervisor.children.items()}
        paper = self.blotter()
        self.event("end", {**self.facts(), "restarts": restarts, "paper": paper})


class PlainReporter(Reporter):
    """Plain lines on standard output, for a pipe or a log."""

    def __enter__(self) -> Self:
        """Say what runs."""
        self._begun = time.monotonic()
        print(f"relentless: {self.snapshot.title}", flush=True)
        for note in self.plan.notes:
            print(f"  note: {note}", flush=True)
        for line in connect_lines(self.plan):
            print(f"  {line}", flush=True)
        return self

    def event(self, kind: str, fields: dict[str, Any]) -> None:
        """Tell one event."""
        print(f"{time.monotonic() - self._begun:7.1f}s  {describe(kind, fields)}", flush=True)

    async def refresh(self) -> None:
        """Tell the figures every ten seconds."""
        while True:
            await asyncio.sleep(SUMMARY_EVERY_S)
            self.event("figures", self.facts())

    def summary(self, supervisor: Supervisor) -> None:
        """Tell the figures and where things lie."""
        self.event("end", {**self.facts(), "paper": self.blotter()})
        print(f"saved: {self.plan.settings.paths.state}", flush=True)


class ScreenReporter(Reporter):
    """A live screen on the terminal."""

    def __init__(self, plan: Plan, snapshot: Snapshot) -> None:
        super().__init__(plan, snapshot)
        self._console = Console()
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self._live.stop()

    def event(self, kind: str, fields: dict[str, Any]) -> None:
        """Keep the event for the screen's log, and draw."""
        self.snapshot.events.append(describe(kind, fields))
        self._draw()

    async def refresh(self) -> None:
        """Draw four times a second."""
        while True:
            self._draw()
            await asyncio.sleep(0.25)

    def _draw(self) -> None:
        size = self._console.size
        picture = draw(self.plan, self.snapshot, self.supervisor, size.width, size.height)
        self._live.update(picture, refresh=True)

    def summary(self, supervisor: Supervisor) -> None:
        """Leave the figures and the paths on the terminal."""
        said = describe("end", {**self.facts(), "paper": self.blotter()})
        self._console.print(said, highlight=False)
        self._console.print(f"saved: {self.plan.settings.paths.state}")
        for line in self.snapshot.events:
            if line.startswith("failed"):
                self._console.print(line, style="red")


def choose_reporter(plan: Plan, snapshot: Snapshot, *, as_json: bool) -> Reporter:
    """Give the reporter that fits: JSON when asked, the screen on a terminal, else plain lines."""
    if as_json:
        return JsonReporter(plan, snapshot)
    if sys.stdout.isatty():
        return ScreenReporter(plan, snapshot)
    return PlainReporter(plan, snapshot)


__all__ = ["JsonReporter", "PlainReporter", "Reporter", "ScreenReporter", "choose_reporter"]
