"""Fixtures that every folder of tests shares."""

import os
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
