"""A hub of its own for each test: on a clock that stands, with callers that the test chooses."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path

import pytest

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.server import Hub, build
from relentless.store.keys import ensure_local

from .helpers import CALLER, START, Served, serving, settings_for


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START.astimezone(UTC))


@pytest.fixture(scope="session")
def local_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The local set of keys, made once: each key costs several syncs of the disk."""
    state = tmp_path_factory.mktemp("local")
    ensure_local(state)
    return state / "keys"


@pytest.fixture
def settings(tmp_path: Path, local_keys: Path) -> Settings:
    shutil.copytree(local_keys, tmp_path / "state" / "keys")
    return settings_for(tmp_path / "state")


@pytest.fixture
async def hub(settings: Settings, clock: ManualClock) -> AsyncIterator[Hub]:
    async with build(settings, clock=clock, local=CALLER.get) as built:
        yield built


@pytest.fixture
async def served(settings: Settings, clock: ManualClock) -> AsyncIterator[Served]:
    async with serving(settings, clock) as running:
        yield running
