"""The command line. Nothing heavy is imported before the command that needs it runs."""

import asyncio
import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from relentless import __version__

app = typer.Typer(
    name="relentless",
    help="A multi-agent MCP coordination server for trading.\n\n"
    "Start everything on this machine with: relentless up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
agents_app = typer.Typer(help="The data agents.", invoke_without_command=True)
keys_app = typer.Typer(help="The API keys of the hub.", no_args_is_help=True)
app.add_typer(agents_app, name="agents", rich_help_panel="Processes")
app.add_typer(keys_app, name="keys", rich_help_panel="Operate")

PROCESS = "Processes"
OPERATE = "Operate"


def _settings() -> Any:
    """Give the settings of the run, or the defaults."""
    from json import JSONDecodeError

    from pydantic_settings import SettingsError

    from relentless.configs.settings import Settings
    from relentless.proto.errors import InvalidSettings

    try:
        return Settings()
    except SettingsError as error:
        raise InvalidSettings(
            f"{error}: a whole section is JSON; one value is RELENTLESS_HUB__PORT=9000"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidSettings(f".env or a settings file is not UTF-8 text: {error}") from error
    except JSONDecodeError as error:
        raise InvalidSettings(f"the settings file is not JSON: {error}") from error
    except OSError as error:
        raise InvalidSettings(f"the settings cannot be read: {error}") from error


def _run(module: str, process: str) -> None:
    """Run one process of ours until it is asked to end."""
    from relentless.configs.process import configure_logging

    configure_logging(process)
    run = importlib.import_module(module).run
    settings = _running()
    if asyncio.iscoroutinefunction(run):
        import uvloop

        uvloop.run(run(settings))
    else:
        run(settings)


def _running() -> Any:
    """Give the settings of the newest run on this machine, else the defaults.

    A command in another terminal then finds the hub of ``relentless up`` by itself.
    """
    from relentless.cli.plan import newest_run

    settings = _settings()
    if "RELENTLESS_SETTINGS" not in os.environ and (file := newest_run(settings.paths.state)):
        os.environ["RELENTLESS_SETTINGS"] = str(file)
        settings = _settings()
    return settings


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"relentless {__version__}")
        raise typer.Exit


@app.command(rich_help_panel="Start here")
def up(
    live: Annotated[
        bool, typer.Option("--live", help="The wall clock; sources without a key are synthetic.")
    ] = False,
    day: Annotated[
        bool, typer.Option("--day", help="The shipped day, also where keys are set.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option(help="Market seconds in a second, for the shipped day.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Market time to start at: 05:25.")] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recorded data to serve instead.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Folder for what the run writes.")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="End after: 60s, 5m, 1h.")] = None,
    until_signals: Annotated[
        int | None, typer.Option(help="End after this many signals.", min=1)
    ] = None,
    until: Annotated[str | None, typer.Option(help="End at this market time: 09:45.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Start and supervise everything on this machine; Ctrl-C ends it in order.

    Without a key, Monday 7 October 2013 runs at 60 times real speed. With FRED_API_KEY,
    CONGRESS_API_KEY or ALPACA_API_KEY and ALPACA_SECRET_KEY set (or in .env) the same agents read
    the real services on the wall clock. Trading is on paper.
    """
    from relentless.cli.plan import Wish, plan_run
    from relentless.cli.up import Limits, run_up

    plan = plan_run(_settings(), Wish(live, day, speed, start, recordings, state))
    limits = Limits.parse(plan.settings, for_, until_signals, until)
    raise typer.Exit(asyncio.run(run_up(plan, limits, as_json=json_)))


@app.command(rich_help_panel=PROCESS)
def hub() -> None:
    """Run the MCP hub: registry, messages, coordinator, tools."""
    _run("relentless.mcp_server.server", "hub")


@agents_app.callback()
def agents(context: typer.Context) -> None:
    """Run every data agent, or one of them by hand."""
    if context.invoked_subcommand is None:
        _run("relentless.agents.runner", "agents")


@agents_app.command("run")
def agents_run(
    name: Annotated[str, typer.Argument(help="The agent's command: fred, congress.")],
    once: Annotated[bool, typer.Option("--once", help="One run, now (the default).")] = True,
    print_: Annotated[bool, typer.Option("--print", help="Print the messages as JSON.")] = False,
) -> None:
    """Run one agent once, without a hub, and show what it would publish."""
    from relentless.cli.once import run_agent

    raise typer.Exit(asyncio.run(run_agent(_settings(), name, as_json=print_)))


@agents_app.command("list")
def agents_list() -> None:
    """List the agents that are installed."""
    from relentless.cli.once import list_agents

    list_agents()


@app.command(
    "model-server",
    rich_help_panel=PROCESS,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def model_server(context: typer.Context) -> None:
    """Run the embedded model server, which speaks TensorFlow Serving's API.

    With flags, those of tensorflow_model_server; without, by the settings of this project.
    """
    if context.args:
        from relentless.serving.model_server.main import run_flags

        raise typer.Exit(run_flags(context.args, "relentless model-server"))
    _run("relentless.serving.model_server.main", "model-server")


@app.command(rich_help_panel=PROCESS)
def predictor() -> None:
    """Run the tick path, FinancialPredictor and the signal feed."""
    _run("relentless.serving.predictor", "predictor")


@app.command(rich_help_panel=PROCESS)
def trade() -> None:
    """Run the paper trading agent on the signal feed."""
    _run("relentless.agents.trading", "trade")


@app.command(rich_help_panel=PROCESS)
def sandbox() -> None:
    """Run the upstream APIs in a box."""
    _run("relentless.sandbox.server", "sandbox")


@app.command(rich_help_panel="Connect")
def mcp(
    name: Annotated[
        str, typer.Option("--as", help="Whose key to use: reader, operator.")
    ] = "reader",
    url: Annotated[
        str | None, typer.Option(help="Another hub's address: https://hub.example/mcp.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="The file of the key to use in place of a local one.")
    ] = None,
) -> None:
    """Speak MCP on standard input and output: a proxy to the running hub."""
    from relentless.mcp_server.stdio import run

    asyncio.run(run(_running(), name, url, key_file))


@app.command(rich_help_panel=OPERATE)
def status() -> None:
    """Show the running hub's state."""
    from relentless.cli.operate import show_status

    asyncio.run(show_status(_running()))


@app.command(rich_help_panel=OPERATE)
def context(
    json_: Annotated[bool, typer.Option("--json", help="The whole context as JSON.")] = False,
) -> None:
    """Show the newest daily context of the running hub."""
    from relentless.cli.operate import show_context

    asyncio.run(show_context(_running(), as_json=json_))


@app.command(rich_help_panel=OPERATE)
def halt(reason: Annotated[str, typer.Argument(help="Why; kept in the journal.")]) -> None:
    """Stop every signal; answers when every predictor has confirmed or lost its lease."""
    from relentless.cli.operate import set_halt

    asyncio.run(set_halt(_running(), halted=True, reason=reason))


@app.command(rich_help_panel=OPERATE)
def resume(reason: Annotated[str, typer.Argument(help="Why; kept in the journal.")]) -> None:
    """Let signals flow again."""
    from relentless.cli.operate import set_halt

    asyncio.run(set_halt(_running(), halted=False, reason=reason))


@app.command(rich_help_panel=OPERATE)
def audit(
    limit: Annotated[
        int, typer.Option(help="How many of the newest entries.", min=1, max=500)
    ] = 50,
    after: Annotated[
        int | None, typer.Option(help="Entries after this sequence number instead.", min=0)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="First check all of the journal, entry by entry.")
    ] = False,
) -> None:
    """Show who wrote to the hub, and who was refused; beside the running hub or without one."""
    from relentless.cli.operate import show_audit

    asyncio.run(show_audit(_running(), after=after, limit=limit, as_json=json_, verify=verify))


@app.command(rich_help_panel=OPERATE)
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    usd: Annotated[
        float | None, typer.Option(help="The most that this question may cost.", min=0.001)
    ] = None,
) -> None:
    """Ask Claude about the running system; it reads the hub's tools and cites what it read.

    Needs ANTHROPIC_API_KEY. The model can only read: it holds a reader's key, and is offered no
    tool that changes anything.
    """
    from relentless.cli.ask.terminal import ask as ask_question

    raise typer.Exit(asyncio.run(ask_question(_running(), question, usd=usd)))


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="Whose key: the agent's name.")],
    role: Annotated[str, typer.Option(help="agent, trader, reader, operator or predictor.")],
    topic: Annotated[
        list[str] | None, typer.Option(help="A topic it may publish; repeat for more.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1)] = None,
) -> None:
    """Create a key and print it once."""
    from relentless.cli.operate import create_key

    create_key(_running(), name, role, topic or [], days)


@keys_app.command("list")
def keys_list() -> None:
    """List the keys, without their secrets."""
    from relentless.cli.operate import list_keys

    list_keys(_running())


@keys_app.command("rotate")
def keys_rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id.")],
    hours: Annotated[
        float, typer.Option(help="Hours that the old secret still holds.", min=0, max=720)
    ] = 24.0,
) -> None:
    """Give a key a new secret and print it once; the old one holds for a while."""
    from relentless.cli.operate import rotate_key

    rotate_key(_running(), key_id, hours)


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key."""
    from relentless.cli.operate import revoke_key

    revoke_key(_running(), key_id)


@app.command(rich_help_panel="Model")
def train(
    macro: Annotated[Path, typer.Option(help="Folder of FRED series as CSV: DGS10.csv.")],
    output: Annotated[Path | None, typer.Option(help="Model repository to write to.")] = None,
    version: Annotated[int, typer.Option(help="Version to write.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed.")] = 20131007,
) -> None:
    """Rebuild the model from daily prices and macro series as they were known at the time."""
    from relentless.models.training import main as train_main

    train_main(_settings(), macro=macro, output=output, version=version, seed=seed)


@app.command(hidden=True)
def setup() -> None:
    """Compile what is compiled, so that the first run does not wait for it."""
    from relentless.cli.bytecode import write_bytecode
    from relentless.cli.warm import warm

    warm(_settings())
    write_bytecode()


def main() -> None:
    """Run the command line; an error of ours is one line and a code, never a traceback."""
    from pydantic import ValidationError

    from relentless.proto.errors import RelentlessError

    try:
        app()
    except RelentlessError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except ValidationError as error:
        from relentless.proto.base import explain

        sys.stderr.write(f"error: settings: {explain(error)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
