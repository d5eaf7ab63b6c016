"""The operator's commands, as far as they need no hub."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relentless.cli.operate import create_key, list_keys, revoke_key, rotate_key
from relentless.configs.settings import PathSettings, Settings
from relentless.proto.errors import InvalidInput, NotFound


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(paths=PathSettings(state=tmp_path))


def test_a_listed_id_can_be_revoked_as_it_is_shown(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    create_key(settings, "FlowWatcher", "agent", ["options_flow"], 30)
    key_id, _, secret = capsys.readouterr().out.strip().partition(".")
    list_keys(settings)
    listed = capsys.readouterr().out
    assert key_id in listed and "options_flow" in listed and secret not in listed
    revoke_key(settings, key_id)
    with pytest.raises(NotFound, match="keys list"):
        revoke_key(settings, "nope")


def test_a_rotated_local_key_is_replaced_in_its_file_and_listed_with_its_overlap(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    state = settings.paths.state
    create_key(settings, "reader", "reader", [], None)
    old = capsys.readouterr().out.strip()
    (state / "keys" / "reader.key").write_text(old)
    rotate_key(settings, old.partition(".")[0], 1.0)
    said = capsys.readouterr()
    new = said.out.strip()
    assert (state / "keys" / "reader.key").read_text() == new != old
    assert "refused from" in said.err
    list_keys(settings)
    assert f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%d %H:}" in capsys.readouterr().out


@pytest.mark.parametrize(("role", "topics"), [("boss", []), ("agent", ["nope"])])
def test_what_does_not_exist_is_answered_with_what_does(
    settings: Settings, role: str, topics: list[str]
) -> None:
    with pytest.raises(InvalidInput, match=r"roles: agent.*topics: legislation"):
        create_key(settings, "x", role, topics, None)
