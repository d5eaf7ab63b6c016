"""The operator's commands against a running hub, and the keys."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from relentless.cli.screen import QUALITY_STYLE, eastern, in_order, number
from relentless.configs.settings import Settings
from relentless.mcp_server.audit import Audit
from relentless.proto.contexts import Topic
from relentless.proto.errors import InvalidInput, NotFound, Unavailable
from relentless.serving.clients.hub import HubClient
from relentless.store.journal import hub_journal, open_journal
from relentless.store.keys import KeyRing, keys_path, local_credential, write_private
from relentless.store.ports import Role
from relentless.store.recovery import verify_file

PIPE_WIDTH = 160


@asynccontextmanager
async def _hub(settings: Settings, name: str) -> AsyncIterator[HubClient]:
    credential = local_credential(settings.paths.state, name)
    async with HubClient(settings.hub.url, credential, tls=settings.hub.calling()) as hub:
        yield hub


async def show_status(settings: Settings) -> None:
    """Print the hub's state as JSON."""
    async with _hub(settings, "reader") as hub:
        typer.echo(json.dumps(await hub.call("get_status"), indent=2))


async def show_context(settings: Settings, *, as_json: bool) -> None:
    """Print the newest daily context, as a table or as JSON."""
    async with _hub(settings, "reader") as hub:
        context = await hub.daily_context()
    if as_json:
        typer.echo(context.model_dump_json(indent=2))
        return
    table = Table(title=f"{context.trading_date} as of {eastern(context.as_of)}")
    for column in ("feature", "value", "previous", "observed", "known", "source", "quality"):
        table.add_column(column, no_wrap=True)
    for name, item in in_order(dict(context.provenance)):
        table.add_row(
            name,
            number(item.value),
            number(item.previous),
            f"{item.observed_at:%Y-%m-%d}" if item.observed_at else "-",
            eastern(item.known_at),
            f"{item.source}{' (synthetic)' if item.origin == 'synthetic' else ''}",
            f"[{QUALITY_STYLE[item.quality]}]{item.quality}",
        )
    console = _console()
    console.print(table)
    console.print(f"context {context.context_id}")
    if context.pending_bills:
        console.print(f"{len(context.pending_bills)} bills: {', '.join(context.pending_bills[:8])}")


async def set_halt(settings: Settings, *, halted: bool, reason: str) -> None:
    """Halt or resume, and print who confirmed."""
    async with _hub(settings, "operator") as hub:
        answer = await hub.call("set_trading_halt", {"halted": halted, "reason": reason}, wait_s=10)
    typer.echo(json.dumps(answer, indent=2))


async def show_audit(
    settings: Settings, *, after: int | None, limit: int, as_json: bool, verify: bool
) -> None:
    """Print entries of the audit, the newest last, as a table or as JSON lines.

    They come from the running hub, and where none runs from its journal. ``verify`` has all of the
    journal checked before, in this process.

    Raises:
        JournalDamaged: something in the journal does not hold.
    """
    if verify:
        path = hub_journal(settings.paths.state)
        head = await asyncio.to_thread(verify_file, path)
        said = f"{path}: all of {head.sequence:,} entries hold; the newest is {head.chain.hex()}"
        typer.echo(said, err=True)
    query = f"?limit={limit}" + ("" if after is None else f"&after={after}")
    try:
        async with _hub(settings, "operator") as hub:
            page = json.loads(await hub.read_resource(f"audit://log{query}"))
    except Unavailable as error:
        typer.echo(f"{error} The journal's file is read instead.", err=True)
        page = await _page_without_hub(settings, after, limit)
    if as_json:
        for entry in page["entries"]:
            typer.echo(json.dumps(entry))
        return
    table = Table()
    for column in ("sequence", "wall time", "who", "role", "key", "what", "outcome", "count"):
        table.add_column(column, overflow="fold")
    for entry in page["entries"]:
        when = entry["wall_time"].partition(".")[0].removesuffix("Z")
        named = (entry[name] for name in ("who", "role", "key", "what", "outcome"))
        table.add_row(str(entry["sequence"]), when, *named, str(entry["count"]))
    _console().print(table)


async def _page_without_hub(settings: Settings, after: int | None, limit: int) -> dict[str, Any]:
    """Give a page of the audit from the journal of a hub that does not run.

    Raises:
        JournalBusy: it runs.
    """
    path = hub_journal(settings.paths.state)
    if not path.exists():
        raise NotFound(f"there is no journal at {path}: no hub ran with this state")
    journal = await open_journal(path, settings.run_clock())
    try:
        return await Audit(journal).page(after=after, limit=limit)
    finally:
        await journal.close()


def create_key(
    settings: Settings, name: str, role: str, topics: list[str], days: int | None
) -> None:
    """Create a key and print the credential, once.

    Raises:
        InvalidInput: a role or a topic that does not exist.
    """
    try:
        chosen, subjects = Role(role), [Topic(topic) for topic in topics]
    except ValueError as error:
        known = f"roles: {', '.join(Role)}; topics: {', '.join(Topic)}"
        raise InvalidInput(f"{error} ({known})") from error
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    typer.echo(_ring(settings).create(name, chosen, subjects or None, expires))


def list_keys(settings: Settings) -> None:
    """Print the keys, without their secrets."""
    table = Table()
    table.add_column("id", no_wrap=True, min_width=16)  # whole: revoke takes it
    for column in ("name", "role", "topics", "expires", "old secret until", "revoked"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for key in _ring(settings).keys():  # noqa: SIM118 - not a mapping
        table.add_row(*_key_row(key, now))
    _console().print(table)


def rotate_key(settings: Settings, key_id: str, hours: float) -> None:
    """Give a key a new secret, print the credential, once, and keep it where a local one lies."""
    state = settings.paths.state
    credential = _ring(settings).rotate(key_id, timedelta(hours=hours))
    for file in sorted((state / "keys").glob("*.key")):
        if file.read_text("ascii").partition(".")[0].strip() == key_id:
            write_private(file, credential)
            typer.echo(f"{file} holds the new secret", err=True)
    until = datetime.now(UTC) + timedelta(hours=hours)
    typer.echo(f"the old secret is refused from {until:%Y-%m-%d %H:%M} UTC on", err=True)
    typer.echo(credential)


def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke a key."""
    _ring(settings).revoke(key_id)
    typer.echo(f"revoked {key_id}; running processes notice within a second")


def _console() -> Console:
    """Give a console as wide as the terminal, and wide where there is none to fit."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def _ring(settings: Settings) -> KeyRing:
    return KeyRing(keys_path(settings.paths.state))


def _expiry(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    return f"{at:%Y-%m-%d}" if at > now else f"{at:%Y-%m-%d} (expired)"


def _is_ahead(at: datetime | None, now: datetime) -> bool:
    return at is not None and at > now


def _key_row(key: Any, now: datetime) -> list[str]:
    return [
        key.id,
        key.name,
        key.role,
        ", ".join(sorted(key.topics)),
        _expiry(key.expires_at, now),
        f"{key.before_until:%Y-%m-%d %H:%M}" if _is_ahead(key.before_until, now) else "",
        f"{key.revoked_at:%Y-%m-%d}" if key.revoked_at else "",
    ]
