"""Resolve one run: its clock, its state folder, its ports, its keys, and who stands in for whom.

Pure decisions over ``Settings`` but for the folders that it makes and the ports that it tries.
"""

import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from relentless.cli.ports import Claims
from relentless.cli.supervisor import Spec
from relentless.configs.clock import EASTERN
from relentless.configs.sessions import is_session, next_session, session_close
from relentless.configs.settings import (
    SANDBOX_PATHS,
    ClockSettings,
    Settings,
    SourcesSettings,
)
from relentless.proto.errors import InvalidInput, InvalidSettings

KEPT_RUNS = 3
SANDBOX_KEY = "sandbox"
SANDBOX_RATE_PER_MIN = 60_000.0
EDGAR: Final = ("sec", "sec_archive")
"""Live once SEC_CONTACT says who asks."""


@dataclass(frozen=True)
class Plan:
    """A run, ready to be started."""

    settings: Settings
    file: Path
    """The resolved settings, for every process."""
    specs: tuple[Spec, ...]
    notes: tuple[str, ...]
    """What a person should know: which clock, which sources are stood in for, moved ports."""
    title: str
    claims: Claims
    """The ports, kept from other runs for as long as this plan lives."""


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    live: bool = False
    day: bool = False
    speed: float | None = None
    start: str | None = None
    """Market time of day, "05:25"."""
    recordings: Path | None = None
    state: Path | None = None


def plan_run(settings: Settings, wish: Wish) -> Plan:
    """Decide everything that a run needs, and write the settings file that its processes read.

    Raises:
        InvalidSettings: wishes that contradict each other, or a folder that cannot be used.
    """
    keys = _keys(settings)
    live = wish.live or (bool(keys) and not wish.day)
    if wish.live and wish.day:
        raise InvalidSettings("--live and --day exclude each other: drop one")
    recordings = wish.recordings or settings.recordings
    if recordings is not None and not (recordings / "PROVENANCE.md").exists():
        raise InvalidSettings(
            f"{recordings} holds no recorded data (no PROVENANCE.md); "
            "unset RELENTLESS_RECORDINGS to run the shipped day"
        )
    if live:
        recordings = None
    notes: list[str] = []
    if live and (closed := closed_note(datetime.now(UTC))):
        notes.append(closed)
    clock = _clock(settings, wish, live)
    root = (wish.state or settings.paths.state).resolve()
    try:
        state = _state_folder(root, settings, live)
        _share_keys(root, state)
    except OSError as error:
        raise InvalidSettings(
            f"the state folder {root} cannot be written ({error.strerror}); "
            "give another with --state"
        ) from error
    update: dict[str, Any] = {
        "clock": clock,
        "paths": settings.paths.model_copy(update={"state": state}),
        "recordings": recordings.resolve() if recordings else None,
    }
    claims = Claims()
    update |= _ports(settings, claims, notes)
    host, port = update["sandbox"].host, update["sandbox"].port
    update["sources"] = _sources(
        settings, keys if live else {}, host, port, recordings, notes, live=live
    )
    resolved = settings.model_copy(update=update)
    file = state / "settings.json"
    _write_private(file, resolved.dump())
    title = _title(resolved, live, recordings)
    return Plan(resolved, file, _specs(resolved), tuple(notes), title, claims)


def _keys(settings: Settings) -> dict[str, tuple[SecretStr, SecretStr | None]]:
    found: dict[str, tuple[SecretStr, SecretStr | None]] = {}
    if settings.fred_api_key:
        found["fred"] = (settings.fred_api_key, None)
    if settings.congress_api_key:
        found["congress"] = (settings.congress_api_key, None)
    if settings.tradier_api_key:
        found["tradier"] = (settings.tradier_api_key, None)
    if settings.alphavantage_api_key:
        found["alphavantage"] = (settings.alphavantage_api_key, None)
    if settings.alpaca_api_key and settings.alpaca_secret_key:
        pair = (settings.alpaca_api_key, settings.alpaca_secret_key)
        found |= {"alpaca": pair, "alpaca_data": pair}
    elif settings.alpaca_api_key or settings.alpaca_secret_key:
        raise InvalidSettings("set both ALPACA_API_KEY and ALPACA_SECRET_KEY, or neither")
    return found


def _state_folder(root: Path, settings: Settings, live: bool) -> Path:
    """Give the live folder, which stays, or a fresh one for a run of the day."""
    if live:
        state = root / "live"
        state.mkdir(parents=True, exist_ok=True)
        return state
    runs = root / f"day-{settings.sandbox.day}"
    runs.mkdir(parents=True, exist_ok=True)
    for old in sorted(path for path in runs.iterdir() if path.is_dir())[: -(KEPT_RUNS - 1)]:
        shutil.rmtree(old, ignore_errors=True)
    state = runs / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    state.mkdir(exist_ok=True)
    return state


def _share_keys(root: Path, state: Path) -> None:
    """Keep one set of keys for every run, so that a client's configuration stays good."""
    (root / "keys").mkdir(mode=0o700, exist_ok=True)
    link = state / "keys"
    if not link.exists():
        link.symlink_to(os.path.relpath(root / "keys", state))


def _clock(settings: Settings, wish: Wish, live: bool) -> ClockSettings:
    if live:
        return settings.clock.model_copy(update={"mode": "live", "speed": 1.0})
    start = settings.clock.start
    if wish.start or start is None:
        try:
            start = datetime.fromisoformat(
                f"{settings.sandbox.day}T{wish.start or '05:25'}"
            ).replace(tzinfo=EASTERN)
        except ValueError as error:
            raise InvalidSettings(f"--start is a market time such as 05:25: {error}") from error
    speed = settings.clock.speed if wish.speed is None else wish.speed
    try:
        return ClockSettings(mode="day", start=start, speed=speed, epoch=time.time())
    except ValidationError as error:
        raise InvalidSettings(f"--speed is above 0 and at most 100,000, not {speed:g}") from error


def closed_note(now: datetime) -> str | None:
    """Say that the exchange trades no more on this day, and when it does; None where it does."""
    today = now.astimezone(EASTERN).date()
    try:
        if is_session(today) and now < session_close(today):
            return None
        return (
            f"the exchange is closed; its next session is {next_session(today):%A %Y-%m-%d}: "
            "until then no context is built on schedule and few ticks or none come"
        )
    except InvalidInput as error:
        return str(error)


def _sources(
    settings: Settings,
    keys: dict[str, tuple[SecretStr, SecretStr | None]],
    host: str,
    port: int,
    recordings: Path | None,
    notes: list[str],
    *,
    live: bool,
) -> SourcesSettings:
    origin: Literal["recorded", "synthetic"] = "recorded" if recordings else "synthetic"
    update: dict[str, Any] = {}
    for name in SourcesSettings.model_fields:
        source = getattr(settings.sources, name)
        if name in keys:
            key, secret = keys[name]
            update[name] = source.model_copy(update={"key": key, "secret": secret})
            notes.append(f"{name}: live, with your key")
        elif live and name in settings.open_sources:
            update[name] = source
            notes.append(f"{name}: live, it asks for no key")
        elif live and name in EDGAR and settings.sec_contact:
            update[name] = source.model_copy(update={"user_agent": settings.sec_contact})
            notes.append(f"{name}: live, as {settings.sec_contact}")
        else:
            scheme = urlsplit(source.url).scheme.replace("https", "http").replace("wss", "ws")
            path = SANDBOX_PATHS.get(name, f"/{name}")
            update[name] = source.model_copy(
                update={
                    "url": f"{scheme}://{host}:{port}{path}",
                    "key": SecretStr(SANDBOX_KEY),
                    "secret": SecretStr(SANDBOX_KEY),
                    "rate_per_min": SANDBOX_RATE_PER_MIN,
                    "limit_group": None,
                    "origin": origin,
                }
            )
    return settings.sources.model_copy(update=update)


def _ports(settings: Settings, claims: Claims, notes: list[str]) -> dict[str, Any]:
    """Keep the ports that are free and move the others, saying so."""
    moved: dict[str, Any] = {}

    def free(what: str, host: str, port: int) -> int:
        chosen = claims.take(host, port)
        if chosen != port and port != 0:
            notes.append(f"{what}: port {port} is in use, so {chosen} it is")
        return chosen

    hub, box, tick = settings.hub, settings.sandbox, settings.predictor
    moved["hub"] = hub.model_copy(update={"port": free("hub", hub.host, hub.port)})
    moved["sandbox"] = box.model_copy(update={"port": free("sandbox", box.host, box.port)})
    moved["predictor"] = tick.model_copy(
        update={
            "grpc_port": free("predictor", tick.host, tick.grpc_port),
            "feed_port": free("feed", tick.host, tick.feed_port),
        }
    )
    server = settings.model_server
    if not server.external:
        update: dict[str, Any] = {}
        if not server.address.startswith("unix:"):
            name, _, port = server.address.rpartition(":")
            update["address"] = f"{name}:{free('model server', name, int(port))}"
        if server.rest_port:
            update["rest_port"] = free("model server's REST", "127.0.0.1", server.rest_port)
        moved["model_server"] = server.model_copy(update=update)
    return moved


def _specs(settings: Settings) -> tuple[Spec, ...]:
    """Give the processes in the order of their start; the stage is the order of their end."""
    sandboxed = settings.sources.stood_in_for()
    specs = [Spec("sandbox", ("sandbox",), 4)] if sandboxed else []
    specs += [
        Spec("predictor", ("predictor",), 2),
        Spec("agents", ("agents",), 1),
        Spec("hub", ("hub",), 3),
    ]
    if not settings.model_server.external:
        specs.append(Spec("model-server", ("model-server",), 3))
    specs.append(Spec("trade", ("trade",), 1, after="predictor"))
    return tuple(specs)


def _title(settings: Settings, live: bool, recordings: Path | None) -> str:
    if live:
        return "live: the wall clock; paper trading"
    kind = "recorded data" if recordings else "the shipped day, ticks synthetic"
    return f"{settings.sandbox.day} ({kind}), {settings.clock.speed:g} times real speed"


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def newest_run(root: Path) -> Path | None:
    """Give the settings file of the newest run under a state folder."""
    files = [*root.glob("*/settings.json"), *root.glob("*/*/settings.json")]
    return max(files, key=lambda path: path.stat().st_mtime).resolve() if files else None
