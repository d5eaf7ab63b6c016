"""The hub as a process of its own that a test may flood, kill and look at from outside."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relentless.configs.settings import Settings
from relentless.store.keys import LOCAL_ROLES, local_credential

from .helpers import START

LONG = 60
"""Seconds that this machine may take for anything, however busy it is."""
PROGRAM = ("-m", "relentless", "hub")


def settings_in(folder: Path, port: int, **hub: Any) -> Settings:
    """Give the settings of a hub whose state is in a folder."""
    return Settings(
        _env_file=None,
        paths={"state": folder / "state"},
        hub={"port": port, "expected_agents": (), **hub},
        clock={"mode": "day", "start": START, "speed": 1.0, "epoch": time.time()},
    )


class HubProcess:
    """A hub that can be started again on its port, after it ended or was killed."""

    def __init__(self, folder: Path, model_server: str | None = None, **hub: Any) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.state = folder / "state"
        self.log = folder / "hub.log"
        self.file = folder / "settings.json"
        settings = settings_in(folder, self.port, **hub)
        if model_server is not None:
            section = settings.model_server.model_copy(update={"address": model_server})
            settings = settings.model_copy(update={"model_server": section})
        self.file.write_text(settings.dump())

    @property
    def url(self) -> str:
        """The MCP endpoint."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self, program: Sequence[str] = PROGRAM, **environment: str) -> bool:
        """Start it; gives whether it got ready, rather than ended."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *program],
                env=os.environ | {"RELENTLESS_SETTINGS": str(self.file)} | environment,
                cwd=self._folder,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], LONG)[0], "the hub says nothing"
        line = json.loads(self._process.stdout.readline() or b"{}")
        return line.get("ready") == "hub"

    def wait(self) -> int:
        """Return its exit code once it has ended by itself."""
        assert self._process is not None
        code = self._process.wait(LONG)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        """End it without a word, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it in order; gives its exit code."""
        return self._end(signal.SIGTERM)

    def running(self) -> bool:
        """Say whether it lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process number."""
        assert self._process is not None
        return self._process.pid

    def rss_mb(self) -> float:
        """Give its resident memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def credential(self, name: str) -> str:
        """Give the key of somebody of the local set."""
        return local_credential(self.state, name)

    def secrets(self) -> list[str]:
        """Give what no answer and no line of the log may hold."""
        found = [self.credential(name) for name in LOCAL_ROLES]
        return [*found, *(key.partition(".")[2] for key in found)]

    def _end(self, number: int) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()


@contextmanager
def hub_process(folder: Path, **hub: Any) -> Iterator[HubProcess]:
    """Run a hub; whatever is left of it at the end is killed."""
    running = HubProcess(folder, **hub)
    try:
        assert running.start(), running.log.read_text()[-2_000:]
        yield running
    finally:
        running.kill()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
