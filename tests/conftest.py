"""Fixtures that every folder of tests shares."""

import os
import tomllib
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded real data; the test is skipped where there is none."""
    folder = Path(os.environ.get("RELENTLESS_RECORDINGS") or BESIDE)
    if not (folder / "PROVENANCE.md").exists():
        pytest.skip("no recorded data here: set RELENTLESS_RECORDINGS to its folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether the full counts run (`make soak`)."""
    return os.environ.get("RELENTLESS_SOAK") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hold the tests against the manifest: no unknown promise, and none without a test."""
    with (Path(__file__).parent / "promises.toml").open("rb") as file:
        promises = tomllib.load(file)
    proved: set[str] = set()
    for item in items:
        for mark in item.iter_markers("promise"):
            if not mark.args or mark.args[0] not in promises:
                raise pytest.UsageError(f"{item.nodeid} names a promise unknown to promises.toml")
            proved.add(mark.args[0])
    whole = not config.getoption("keyword") and [*config.args] == config.getini("testpaths")
    missing = [
        name for name, entry in promises.items() if not entry.get("due") and name not in proved
    ]
    if whole and missing:
        raise pytest.UsageError(f"promises without a test: {', '.join(missing)}")
