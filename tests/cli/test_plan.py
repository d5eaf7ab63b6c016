"""A run is resolved before anything starts."""

import json
import os
import socket
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from relentless.cli import main
from relentless.cli.plan import Plan, Wish, closed_note, newest_run, plan_run
from relentless.cli.ports import Claims
from relentless.cli.up import Limits
from relentless.configs.settings import Settings
from relentless.proto.errors import InvalidSettings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name in list(os.environ):
        if name.startswith("RELENTLESS_") or name.endswith(("_API_KEY", "_SECRET_KEY")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Settings()


def test_without_a_key_the_shipped_day_runs_against_the_sandbox(
    settings: Settings, tmp_path: Path
) -> None:
    plan = plan_run(settings, Wish(state=tmp_path / "var"))
    chosen = plan.settings
    assert chosen.clock.mode == "day" and chosen.clock.epoch is not None
    assert chosen.sources.fred.url == f"http://127.0.0.1:{chosen.sandbox.port}"
    assert chosen.sources.fred.origin == "synthetic"
    assert "sandbox" in [spec.name for spec in plan.specs]
    assert "2013-10-07" in plan.title and "synthetic" in plan.title


def test_a_key_makes_it_live_and_only_that_source_real(settings: Settings, tmp_path: Path) -> None:
    keyed = settings.model_copy(update={"fred_api_key": SecretStr("abc")})
    plan = plan_run(keyed, Wish(state=tmp_path / "var"))
    assert plan.settings.clock.mode == "live"
    assert plan.settings.sources.fred.url == "https://api.stlouisfed.org"
    assert plan.settings.sources.fred.origin == "live"
    assert plan.settings.sources.congress.origin == "synthetic"
    assert plan.settings.sources.congress.url.startswith("http://127.0.0.1")
    assert any("fred: live" in note for note in plan.notes)
    day = plan_run(keyed, Wish(day=True, state=tmp_path / "var")).settings
    assert day.clock.mode == "day" and day.sources.fred.origin == "synthetic"


def test_the_settings_file_is_private_and_reads_back_the_same(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_run(
        settings.model_copy(update={"fred_api_key": SecretStr("abc")}),
        Wish(state=tmp_path / "var"),
    )
    assert plan.file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("RELENTLESS_SETTINGS", str(plan.file))
    monkeypatch.setenv("RELENTLESS_HUB__PORT", "1")
    assert Settings() == plan.settings
    assert json.loads(plan.file.read_text())["sources"]["fred"]["key"] == "abc"
    assert newest_run(tmp_path / "var") == plan.file


def test_a_port_in_use_is_moved_and_said(settings: Settings, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = settings.model_copy(update={"hub": settings.hub.model_copy(update={"port": port})})
        plan = plan_run(busy, Wish(state=tmp_path / "var"))
    assert plan.settings.hub.port != port
    assert any(str(port) in note for note in plan.notes)


def test_old_runs_are_removed_and_keys_stay(settings: Settings, tmp_path: Path) -> None:
    keys = {(plan_run(settings, Wish(state=tmp_path / "var")).file.parent / "keys").resolve()}
    for number in range(4):
        (tmp_path / "var" / "day-2013-10-07" / f"2000010{number}T000000-1").mkdir()
    plan = plan_run(settings, Wish(state=tmp_path / "var"))
    keys.add((plan.file.parent / "keys").resolve())
    assert keys == {tmp_path / "var" / "keys"}
    left = list((tmp_path / "var" / "day-2013-10-07").iterdir())
    assert len(left) <= 3 and plan.file.parent in left


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish(live=True, day=True), "exclude each other"),
        (Wish(start="late"), "05:25"),
        (Wish(recordings=Path("/nonexistent")), "PROVENANCE"),
    ],
)
def test_wishes_that_cannot_be_met_say_what_to_do(
    settings: Settings, tmp_path: Path, wish: Wish, says: str
) -> None:
    with pytest.raises(InvalidSettings, match=says):
        plan_run(settings, Wish(**{**vars(wish), "state": tmp_path / "var"}))


def test_half_a_pair_of_keys_is_refused(settings: Settings, tmp_path: Path) -> None:
    half = settings.model_copy(update={"alpaca_api_key": SecretStr("abc")})
    with pytest.raises(InvalidSettings, match="ALPACA_SECRET_KEY"):
        plan_run(half, Wish(state=tmp_path / "var"))


def test_limits_are_read_and_refused(settings: Settings, tmp_path: Path) -> None:
    chosen = plan_run(settings, Wish(state=tmp_path / "var")).settings
    assert Limits.parse(chosen, "90s", None, None).seconds == 90
    assert Limits.parse(chosen, "5m", 3, None) == Limits(300, 3, None)
    moment = Limits.parse(chosen, None, None, "09:45").moment
    assert moment is not None and moment.isoformat() == "2013-10-07T09:45:00-04:00"
    for bad in ({"for_": "soon", "until": None}, {"for_": None, "until": "late"}):
        with pytest.raises(InvalidSettings):
            Limits.parse(chosen, signals=None, **bad)


@pytest.mark.parametrize("speed", [0.0, -3.0, 1e9, float("nan")])
def test_a_speed_that_no_clock_can_run_at_is_refused(
    settings: Settings, tmp_path: Path, speed: float
) -> None:
    with pytest.raises(InvalidSettings, match="--speed"):
        plan_run(settings, Wish(speed=speed, state=tmp_path / "var"))
    assert not (tmp_path / "var").exists()


def test_a_state_folder_that_cannot_be_written_is_one_sentence(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidSettings, match=r"cannot be written .*--state"):
        plan_run(settings, Wish(state=file))


def test_a_limit_that_is_past_is_refused(settings: Settings, tmp_path: Path) -> None:
    chosen = plan_run(settings, Wish(state=tmp_path / "var")).settings
    with pytest.raises(InvalidSettings, match=r"past: the run starts at 05:\d\d ET"):
        Limits.parse(chosen, None, None, "04:00")


@pytest.mark.parametrize(
    ("moment", "wanted"),
    [
        ("2026-11-20T12:00:00-05:00", None),
        ("2026-11-20T16:00:00-05:00", "Monday 2026-11-23"),
        ("2026-11-22T08:00:00-05:00", "Monday 2026-11-23"),
        ("2026-11-27T13:30:00-05:00", "Monday 2026-11-30"),
        ("2026-11-27T12:59:00-05:00", None),
    ],
)
def test_a_live_run_says_that_the_exchange_is_closed(moment: str, wanted: str | None) -> None:
    note = closed_note(datetime.fromisoformat(moment))
    assert note is None if wanted is None else note is not None and wanted in note


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("RELENTLESS_SOURCES", "{bad", "sources"),
        ("RELENTLESS_HUB__PORT", "abc", "hub.port"),
        ("RELENTLESS_SETTINGS", "gone.json", "gone.json"),
    ],
)
def test_a_bad_variable_is_one_line_and_code_2(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    wanted: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert _code_of("up", monkeypatch) == 2, "refused before anything starts"
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ") and wanted in said


def test_an_env_file_that_is_not_text_is_one_line_and_code_2(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / ".env").write_bytes(b"FRED_API_KEY=\xff\xfe")
    assert _code_of("up", monkeypatch) == 2
    assert capsys.readouterr().err.startswith("error: .env or a settings file is not UTF-8 text")


def _code_of(command: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr("sys.argv", ["relentless", command, "--for", "0s"])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_two_runs_that_start_at_once_take_different_ports(
    settings: Settings, tmp_path: Path
) -> None:
    first = plan_run(settings, Wish(state=tmp_path / "a"))
    second = plan_run(settings, Wish(state=tmp_path / "b"))
    assert not set(ports(first)) & set(ports(second))
    assert any("hub: port" in note for note in second.notes)
    held = first.settings.hub.port
    del first
    assert Claims().take("127.0.0.1", held) == held, "a claim ends with its run"


def ports(plan: Plan) -> list[int]:
    chosen = plan.settings
    return [
        chosen.hub.port,
        chosen.sandbox.port,
        chosen.predictor.grpc_port,
        chosen.predictor.feed_port,
        int(chosen.model_server.address.rpartition(":")[2]),
        chosen.model_server.rest_port,
    ]


def test_open_sources_are_live_only_where_they_are_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELENTLESS_OPEN_SOURCES", "cboe, nasdaq")
    monkeypatch.setenv("SEC_CONTACT", "Acme a@acme.example")
    named = Settings()
    live = plan_run(named, Wish(live=True, state=tmp_path / "var"))
    sources = live.settings.sources
    assert sources.cboe.origin == "live" and sources.cboe.url == "https://cdn.cboe.com"
    assert sources.yahoo.origin == "synthetic" and sources.yahoo.url.endswith("/yahoo")
    assert sources.sec.origin == "live" and sources.sec.user_agent == "Acme a@acme.example"
    assert sources.sec.limit_group == sources.sec_archive.limit_group == "edgar"
    assert any("nasdaq: live" in note for note in live.notes)
    day = plan_run(named, Wish(day=True, state=tmp_path / "var")).settings.sources
    assert {day.cboe.origin, day.sec.origin} == {"synthetic"}


def test_an_unknown_open_source_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELENTLESS_OPEN_SOURCES", "cboe,reddit")
    with pytest.raises(ValueError, match=r"no open source reddit; there are: cnbc"):
        Settings()
    monkeypatch.setenv("RELENTLESS_OPEN_SOURCES", "all")
    assert "gdelt" in Settings().open_sources
