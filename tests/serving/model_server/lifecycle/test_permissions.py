"""Folders that the server may not read: the log and the status say so."""

import errno
from pathlib import Path
from typing import Any

import pytest
import structlog

from relentless.serving.model_server.codes import PERMISSION_DENIED
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.loading import Loading
from relentless.serving.model_server.lifecycle.looking import HINT, Lookout
from relentless.serving.model_server.runtime.capi import TFError


def denied(path: Path, *_: Any) -> Any:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_a_base_path_that_is_closed_is_told_from_one_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout, config = Lookout(), ModelConfig("m", tmp_path / "m")
    with structlog.testing.capture_logs() as said:
        lookout.look(config)
        lookout.look(config)
        monkeypatch.setattr(Path, "iterdir", denied)
        lookout.look(config)
    assert [(line["event"], line["hint"]) for line in said] == [
        ("no base path", HINT),
        ("no base path", "Permission denied"),
    ]


def test_a_version_that_is_closed_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(TFError, match=f"^{tmp_path}/1; Permission denied$") as refused:
        Loading().load("m", 1, tmp_path / "1")
    assert refused.value.code == PERMISSION_DENIED
