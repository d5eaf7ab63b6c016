"""``relentless agents run NAME``: one run by hand, without a hub."""

import json
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from relentless.agents.base import Collected
from relentless.agents.registry import discover
from relentless.agents.runner import run_once
from relentless.cli.plan import Wish, plan_run
from relentless.configs.settings import Settings


async def run_agent(settings: Settings, name: str, *, as_json: bool) -> int:
    """Run an agent once and print what it would publish; give the exit code.

    A source without a key is stood in for by a sandbox inside this process.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="relentless-"))
        chosen = await _with_sources(settings, Path(folder), stack)
        collected = await run_once(chosen, name, None)
    show(collected, as_json=as_json)
    return 0 if collected.messages else 1


def show(collected: Collected, *, as_json: bool) -> None:
    """Print messages on standard output, and the gaps and counts for a person on standard error."""
    if as_json:
        for message in collected.messages:
            typer.echo(message.model_dump_json(exclude_none=True))
    else:
        table = Table()
        for column in ("observed", "known", "says"):
            table.add_column(column, no_wrap=column != "says")
        for message in collected.messages:
            table.add_row(
                f"{message.observed_at:%Y-%m-%d}" if message.observed_at else "-",
                f"{message.known_at:%Y-%m-%d %H:%M}Z" if message.known_at else "-",
                json.dumps(message.context, ensure_ascii=False)[:160],
            )
        Console().print(table)
    for gap in collected.gaps:
        typer.echo(f"gap: {gap}", err=True)
    typer.echo(f"{len(collected.messages)} messages, {len(collected.gaps)} gaps", err=True)


def list_agents() -> None:
    """Print the agents that are installed, with what each is for."""
    table = Table()
    for column in ("command", "agent", "topic", "runs at (exchange time)"):
        table.add_column(column, no_wrap=True)
    for agent in discover():
        table.add_row(agent.command, agent.name, agent.topic.value, ", ".join(agent.schedule))
    Console().print(table)


async def _with_sources(settings: Settings, folder: Path, stack: AsyncExitStack) -> Settings:
    """Give settings whose sources answer: the real ones where there is a key, else a sandbox."""
    chosen = plan_run(settings, Wish(state=folder)).settings
    if chosen.sources.stood_in_for():
        from relentless.sandbox.server import serve

        box = serve(chosen, chosen.run_clock(), port=chosen.sandbox.port)
        await stack.enter_async_context(box)
    return chosen
