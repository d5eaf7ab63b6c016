"""The live screen, drawn from a snapshot. Pure: it reads and draws, nothing else."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from relentless.cli.plan import Plan
from relentless.cli.supervisor import Supervisor
from relentless.cli.view import Snapshot
from relentless.configs.clock import EASTERN, from_ns
from relentless.proto.messages import DailyContext
from relentless.proto.signal import Action, Flag, Signal

NARROW = 120
"""Columns below which the tables show less."""
ACTION_STYLE = {Action.HOLD: "dim", Action.BUY: "green", Action.SELL: "red"}
QUALITY_STYLE = {"ok": "green", "stale": "yellow", "missing": "red", "imputed": "cyan"}
STATE_STYLE = {"ready": "green", "ok": "green", "live": "green", "degraded": "yellow"}


def describe(kind: str, fields: dict[str, Any]) -> str:
    """Put one event into a line."""
    name = fields.get("process", "")
    if kind == "ready":
        where = " ".join(
            str(value) for value in fields.values() if isinstance(value, str) and value != name
        )
        return f"{name} is ready {where}".rstrip()
    if kind == "restart":
        return f"{name} ended (exit {fields['exit']}); starting it again in {fields['pause_s']:g} s"
    if kind == "killed":
        return f"{name} did not end in time and was killed"
    if kind == "agent":
        gaps = f", gaps: {', '.join(map(str, fields['gaps']))[:80]}" if fields.get("gaps") else ""
        return (
            f"{fields['agent']} ran for {eastern(fields['scheduled_at'])}: {fields['status']}, "
            f"{fields['messages']} messages{gaps}"
        )
    if kind == "context":
        flagged = f"; flagged: {', '.join(fields['flagged'])}" if fields["flagged"] else ""
        return (
            f"daily context as of {eastern(fields['as_of'])}: {fields['context_id'][:16]}{flagged}"
        )
    if kind == "first_signal":
        frame = f"{fields['frame'][:32]}..."
        return f"first signal after {fields['after_s']} s: {fields['symbol']} {frame}"
    if kind in ("figures", "end"):
        delay = (
            f", tick to signal p50 {fields['p50_us']:.0f} us p99 {fields['p99_us']:.0f} us"
            if fields.get("p50_us") is not None
            else ""
        )
        lead = "ended: " if kind == "end" else ""
        return (
            f"{lead}{fields['signals']:,} signals, {fields['ticks']:,} ticks, "
            f"{len(fields['contexts'])} contexts{delay}"
        )
    if kind == "failed":
        return f"failed: {fields['error']}"
    return kind


def eastern(moment: str | datetime | None) -> str:
    """Write a time in exchange time."""
    if moment is None:
        return "-"
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(EASTERN).strftime("%m-%d %H:%M ET")


def number(value: Any) -> str:
    """Write a feature's value."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float | int) else str(value)


def draw(
    plan: Plan, snapshot: Snapshot, supervisor: Supervisor | None, width: int, height: int
) -> RenderableType:
    """Draw the whole screen for a terminal of this size."""
    layout = Layout()
    signal_rows = max(2, min(10, (height - 26) // 2 + 3))
    layout.split_column(
        Layout(_header(plan, snapshot), name="head", size=2),
        Layout(name="body", ratio=1),
        Layout(_signals(snapshot, signal_rows, width), name="signals", size=signal_rows + 3),
        Layout(_footer(plan), name="foot", size=4),
    )
    narrow = width < NARROW
    left = Layout(name="left", size=min(62, width * 2 // 5))
    left.split_column(
        Layout(_agents(snapshot, narrow=narrow), ratio=1),
        Layout(_processes(snapshot, supervisor), ratio=1),
    )
    context = Layout(_context(snapshot, narrow=narrow), name="context", ratio=1)
    layout["body"].split_row(left, context)
    return layout


def _header(plan: Plan, snapshot: Snapshot) -> RenderableType:
    now = plan.settings.run_clock().now().astimezone(EASTERN)
    stats = snapshot.stats
    line = Text.assemble(
        ("relentless ", "bold"),
        (now.strftime("%a %Y-%m-%d %H:%M:%S ET  "), "bold cyan"),
        (snapshot.title, "cyan"),
        no_wrap=True,
        overflow="ellipsis",
    )
    figures = f"{snapshot.signal_count:,} signals"
    if stats.get("p50_us") is not None:
        figures += (
            f"   tick to signal p50 {stats['p50_us']:.0f} us, p99 {stats['p99_us']:.0f} us"
            f"   {stats.get('ticks_per_s', 0):,.0f} ticks/s"
        )
    if snapshot.synthetic:
        figures += "   ticks: SYNTHETIC"
    halt = snapshot.status.get("halt", {})
    if halt.get("halted"):
        figures += f"   HALTED: {halt['reason']}"
    return Group(line, Text(figures, style="yellow" if halt.get("halted") else ""))


def _agents(snapshot: Snapshot, *, narrow: bool) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False)
    wide = ("topic", "last run", "msgs", "seen")
    for column in ("agent", *(() if narrow else wide), "state"):
        table.add_column(column, no_wrap=True)
    for agent in snapshot.agents:
        run = agent.get("last_run") or {}
        state = run.get("status", "starting") if agent["alive"] else "gone"
        more = (
            ", ".join(agent.get("topics", [])),
            eastern(run.get("scheduled_at")),
            str(run.get("messages", "")),
            f"{agent['last_seen_s']:.0f} s",
        )
        table.add_row(
            agent["agent"],
            *(() if narrow else more),
            Text(state, style=STATE_STYLE.get(state, "red")),
        )
    return Panel(table, title="agents", border_style="blue")


def _processes(snapshot: Snapshot, supervisor: Supervisor | None) -> RenderableType:
    line = Text()
    for child in supervisor.children.values() if supervisor else ():
        style = STATE_STYLE.get(child.state, "yellow")
        again = f" x{child.restarts}" if child.restarts else ""
        line.append(f"{child.spec.name} ", style="bold")
        line.append(f"{child.state}{again}   ", style=style)
    log = Text("\n".join(snapshot.events), style="dim", overflow="ellipsis", no_wrap=True)
    return Panel(Group(line, log), title="processes and events", border_style="blue")


def _context(snapshot: Snapshot, *, narrow: bool) -> RenderableType:
    context = snapshot.context
    table = Table(expand=True, box=None, pad_edge=False)
    table.add_column("feature", no_wrap=True, min_width=17)
    table.add_column("value", no_wrap=True, justify="right", min_width=7)
    if not narrow:
        table.add_column("previous", no_wrap=True, justify="right", min_width=7)
        table.add_column("observed", no_wrap=True, min_width=10)
        table.add_column("known", no_wrap=True, min_width=14)
    table.add_column("quality", no_wrap=True, min_width=7)
    if not narrow:
        table.add_column("source", no_wrap=True, overflow="ellipsis", ratio=1)
    for name, item in in_order((context or {}).get("provenance", {})):
        quality = item["quality"]
        synthetic = "synthetic " if item.get("origin") == "synthetic" else ""
        graded = Text(quality, style=QUALITY_STYLE.get(quality, ""))
        if narrow:
            mark = " (syn)" if synthetic else ""
            table.add_row(f"{name}{mark}", number(item.get("value")), graded)
            continue
        table.add_row(
            name,
            number(item.get("value")),
            number(item.get("previous")),
            (item.get("observed_at") or "-")[:10],
            eastern(item.get("known_at")),
            graded,
            f"{synthetic}{item.get('source', '')}",
        )
    title = "daily context"
    if context:
        bills = len(context.get("pending_bills", []))
        title += f" as of {eastern(context['as_of'])}, {context['context_id'][:12]}, {bills} bills"
    return Panel(table, title=title, border_style="blue")


def in_order(provenance: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give the features in the context's own order: its sixteen fields, then the further ones."""
    first = [name for name in DailyContext.model_fields if name in provenance]
    return [
        (name, provenance[name]) for name in [*first, *(n for n in provenance if n not in first)]
    ]


def _signals(snapshot: Snapshot, rows: int, width: int) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False)
    for column in ("time ET", "seq", "symbol", "action", "conf", "target", "stop", "size", "risk"):
        table.add_column(column, no_wrap=True)
    table.add_column("flags", no_wrap=True)
    if width >= 140:
        table.add_column("64 bytes", no_wrap=True, overflow="ellipsis", ratio=1)
    for signal in list(snapshot.signals)[-rows:]:
        table.add_row(*_signal_row(signal, snapshot, with_hex=width >= 140))
    title = "signals"
    if snapshot.signals and width < 140:
        title += f"   last: {snapshot.signals[-1].pack().hex()}"[: width - 16]
    return Panel(table, title=title, border_style="blue")


def _signal_row(signal: Signal, snapshot: Snapshot, *, with_hex: bool) -> list[RenderableType]:
    when = from_ns(signal.timestamp).astimezone(EASTERN).strftime("%H:%M:%S.%f")[:-3]
    flags = [flag.name.lower() for flag in Flag if flag and signal.flags & flag and flag.name]
    row: list[RenderableType] = [
        when,
        str(signal.sequence),
        snapshot.symbols.get(signal.symbol_id, str(signal.symbol_id)),
        Text(signal.action.name, style=ACTION_STYLE[signal.action]),
        f"{signal.confidence:.3f}",
        f"{signal.price_target:.2f}",
        f"{signal.stop_loss:.2f}",
        f"{signal.position_size:+.3f}",
        str(signal.risk_score),
        " ".join(flags),
    ]
    return [*row, signal.pack().hex()] if with_hex else row


def connect_lines(plan: Plan) -> list[str]:
    """Say how an MCP client connects, in lines to paste."""
    settings = plan.settings
    shown = (settings.paths.state / "keys").resolve() / "reader.key"
    return [
        f"MCP {settings.hub.url}   key file {shown}",
        f"claude mcp add --transport http relentless {settings.hub.url} "
        f'--header "Authorization: Bearer $(cat {shown})"',
    ]


def _footer(plan: Plan) -> RenderableType:
    lines = connect_lines(plan)
    text = Text(f"{lines[0]}\n{lines[1]}", overflow="ellipsis", no_wrap=True)
    return Panel(text, title="connect (Ctrl-C ends everything)", border_style="dim")
