"""Settings: one frozen object, from files and the environment, and nothing else reads them."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from relentless.configs.settings import REPOSITORY, Settings

READERS = {
    "configs/settings.py",
    "src/relentless/cli/__init__.py",
    "src/relentless/cli/supervisor.py",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FRED_API_KEY", "RELENTLESS_SETTINGS", "RELENTLESS_HUB__PORT"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_overrides_the_file_and_arguments_override_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().hub.port == 8765
    monkeypatch.setenv("RELENTLESS_HUB__PORT", "9000")
    assert Settings().hub.port == 9000
    assert Settings().hub.host == "127.0.0.1"
    assert Settings(hub={"port": 9001}).hub.port == 9001


def test_model_servers_are_one_unless_more_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Settings()
    assert (plain.model_server.replicas, plain.model_server.secondary) == ((), ())
    assert plain.predictor.backend == "engine"
    monkeypatch.setenv("RELENTLESS_MODEL_SERVER__REPLICAS", '["10.0.0.2:8500"]')
    monkeypatch.setenv("RELENTLESS_MODEL_SERVER__SECONDARY", '["10.1.0.1:8500"]')
    monkeypatch.setenv("RELENTLESS_PREDICTOR__BACKEND", "server")
    named = Settings()
    assert named.model_server.replicas == ("10.0.0.2:8500",)
    assert named.model_server.secondary == ("10.1.0.1:8500",)
    assert named.predictor.backend == "server"
    monkeypatch.setenv("RELENTLESS_PREDICTOR__BACKEND", "both")
    with pytest.raises(ValidationError, match="backend"):
        Settings()


def test_keys_come_by_the_vendors_names_also_from_a_dotenv_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("FRED_API_KEY=from-the-file\nSOMETHING_ELSE=1\n")
    key = Settings().fred_api_key
    assert key is not None and key.get_secret_value() == "from-the-file"
    monkeypatch.setenv("FRED_API_KEY", "from-the-environment")
    again = Settings().fred_api_key
    assert again is not None and again.get_secret_value() == "from-the-environment"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRED_API_KEY", "abc123secret")
    settings = Settings()
    assert "abc123secret" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_are_frozen_and_mistyped_sections_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValidationError):
        Settings().hub.port = 1  # type: ignore[misc]
    monkeypatch.setenv("RELENTLESS_HUB__PROT", "9000")
    with pytest.raises(ValidationError, match="prot"):
        Settings()


def test_a_days_clock_without_an_epoch_says_how_to_get_one() -> None:
    with pytest.raises(ValueError, match="relentless up"):
        Settings().run_clock()


def test_nothing_else_reads_the_environment() -> None:
    offenders = []
    for folder in (
        *("agents", "configs", "mcp_server", "models", "proto", "sandbox", "serving", "store"),
        *("tools", "src/relentless/cli"),
    ):
        for path in (REPOSITORY / folder).rglob("*.py"):
            name = str(path.relative_to(REPOSITORY))
            if name in READERS or "/gen/" in name:
                continue
            if re.search(r"os\.(environ\.get|environ\[[^\]]+\](?! *=)|getenv)", path.read_text()):
                offenders.append(name)
    assert offenders == []
