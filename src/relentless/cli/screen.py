"""The live screen, drawn from a snapshot. Pure: it reads and draws, nothing else."""

from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from relentless.cli.plan import Plan
from relentless.cli.supervisor import Supervisor
from relentless.cli.view import Snapshot
from relentless.configs.clock import EASTERN, from_ns
from relentless.proto.daily import DailyContext
from relentless.proto.signal import Action, Flag, Signal

NARROW, WIDE, ROOMY = 110, 140, 165
"""Columns below which the parts lie below each other; from which the context's table shows all its
columns; and from which the agents' table does."""
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
            f"{len(fields['contexts'])} contexts{delay}{_paper(fields.get('paper') or {})}"
        )
    if kind == "failed":
        return f"failed: {fields['error']}"
    return kind


def _paper(blotter: dict[str, Any]) -> str:
    if not blotter:
        return ""
    return (
        f"\npaper trading: {blotter['fills']} fills, equity {blotter['equity']:,.2f} "
        f"(realised {blotter['realised']:+,.2f}, unrealised {blotter['unrealised']:+,.2f})"
    )


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
    head = _header(plan, snapshot, width)
    foot = Text("\n".join(connect_lines(plan)), style="dim", overflow="fold")
    rows = max(2, min(10, (height - 26) // 2 + 3))
    parts = [
        Layout(head, size=len(head.renderables)),
        Layout(name="body", ratio=1),
        Layout(_signals(snapshot, rows, width), size=rows + 3),
        Layout(foot, size=_lines(foot, width)),
    ]
    if width < NARROW:
        parts[1].update(_context_in_columns(snapshot))
        state = Text("  ").join((_processes(supervisor), _agents_in_line(snapshot)))
        events = _events(snapshot, 2)
        parts.insert(1, Layout(state, size=_lines(state, width)))
        parts.insert(2, Layout(events, size=2))
        layout.split_column(*parts)
        return layout
    layout.split_column(*parts)
    taken = sum(part.size or 0 for part in parts)
    left = Layout(name="left", size=66 if width >= ROOMY else 46)
    agents = max(6, min(len(snapshot.agents) + 3, 12))
    processes = _processes(supervisor)
    room = max(height - taken - agents - _lines(processes, (left.size or 0) - 4) - 2, 1)
    left.split_column(
        Layout(_agents(snapshot, wide=width >= ROOMY), size=agents),
        Layout(
            Panel(
                Group(processes, _events(snapshot, room)),
                title="processes and events",
                border_style="blue",
            ),
            ratio=1,
        ),
    )
    context = Layout(_context(snapshot, wide=width >= WIDE), name="context", ratio=1)
    layout["body"].split_row(left, context)
    return layout


def _lines(text: Text, width: int) -> int:
    """Give how many lines a text takes."""
    return max(1, len(text.wrap(Console(width=width), width)))


def _header(plan: Plan, snapshot: Snapshot, width: int) -> Group:
    now = plan.settings.run_clock().now().astimezone(EASTERN)
    stats = snapshot.stats
    line = Text.assemble(
        ("relentless ", "bold"),
        (now.strftime("%a %Y-%m-%d " if width >= NARROW else "%a "), "bold cyan"),
        (now.strftime("%H:%M:%S ET  "), "bold cyan"),
        (snapshot.title, "cyan"),
        no_wrap=True,
        overflow="ellipsis",
    )
    figures = f"{snapshot.signal_count:,} signals"
    if stats.get("p50_us") is not None:
        figures += (
            f"  {'' if width < NARROW else 'tick to signal '}"
            f"p50 {stats['p50_us']:.0f} us, p99 {stats['p99_us']:.0f} us"
            f"  {stats.get('ticks_per_s', 0):,.0f} ticks/s"
        )
    halt = snapshot.status.get("halt", {})
    if halt.get("halted"):
        figures += f"  HALTED: {halt['reason']}"
    if snapshot.synthetic:
        figures += "  ticks: SYNTHETIC"
    style = "bold yellow" if halt.get("halted") else ""
    lines = [line, Text(figures, style=style, no_wrap=True, overflow="ellipsis")]
    if plan.notes:
        said = "note: " + "; ".join(plan.notes)
        lines.append(Text(said, style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


def _agents(snapshot: Snapshot, *, wide: bool) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    more = ("topic", "msgs", "seen") if wide else ()
    for column in ("agent", "last run", *more, "state"):
        table.add_column(column, no_wrap=True)
    for agent in snapshot.agents:
        run = agent.get("last_run") or {}
        state = _agent_state(agent)
        extra = (
            ", ".join(agent.get("topics", [])),
            str(run.get("messages", "")),
            f"{agent['last_seen_s']:.0f}s",
        )
        table.add_row(
            agent["agent"],
            eastern(run.get("scheduled_at")),
            *(extra if wide else ()),
            Text(state, style=STATE_STYLE.get(state, "red")),
        )
    return Panel(table, title="agents", border_style="blue")


def _agent_state(agent: dict[str, Any]) -> str:
    run = agent.get("last_run") or {}
    return str(run.get("status", "starting")) if agent["alive"] else "gone"


def _agents_in_line(snapshot: Snapshot) -> Text:
    return Text("  ").join(
        _named(agent["agent"], state, "ok")
        for agent in snapshot.agents
        for state in (_agent_state(agent),)
    )


def _processes(supervisor: Supervisor | None) -> Text:
    return Text("  ").join(
        _named(child.spec.name, child.state, "ready", child.restarts)
        for child in (supervisor.children.values() if supervisor else ())
    )


def _named(name: str, state: str, usual: str, again: int = 0) -> Text:
    """Write a name in its state's colour, and the state where it is not the usual one."""
    said = "" if state == usual else f" {state}"
    said += f" x{again}" if again else ""
    return Text(f"{name}{said}", style=STATE_STYLE.get(state, "yellow"))


def _events(snapshot: Snapshot, rows: int) -> Text:
    newest = list(snapshot.events)[-rows:]
    return Text("\n".join(newest), style="dim", overflow="ellipsis", no_wrap=True)


def _context(snapshot: Snapshot, *, wide: bool) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("feature", no_wrap=True, overflow="ellipsis", min_width=23, ratio=1)
    table.add_column("value", no_wrap=True, justify="right", min_width=7)
    table.add_column("previous", no_wrap=True, justify="right", min_width=8)
    if wide:
        table.add_column("observed", no_wrap=True, min_width=10)
    table.add_column("known", no_wrap=True, min_width=14)
    table.add_column("quality", no_wrap=True, min_width=7)
    if wide:
        table.add_column("source", no_wrap=True, overflow="ellipsis", ratio=1)
    for name, item in in_order((snapshot.context or {}).get("provenance", {})):
        synthetic = item.get("origin") == "synthetic"
        quality = Text(item["quality"], style=QUALITY_STYLE.get(item["quality"], ""))
        table.add_row(
            name if wide or not synthetic else f"{name} (syn)",
            number(item.get("value")),
            number(item.get("previous")),
            *(((item.get("observed_at") or "-")[:10],) if wide else ()),
            eastern(item.get("known_at")),
            quality,
            *((f"{'synthetic ' * synthetic}{item.get('source', '')}",) if wide else ()),
        )
    return Panel(table, title=_context_title(snapshot), border_style="blue")


def _context_in_columns(snapshot: Snapshot) -> RenderableType:
    """Draw names and values side by side; a value that is not ok says what it is instead."""
    table = Table(expand=True, box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, justify="right", min_width=8)
    cells: list[RenderableType] = []
    for name, item in in_order((snapshot.context or {}).get("provenance", {})):
        quality = item["quality"]
        shown = number(item.get("value")) if quality == "ok" else quality
        mark = " (syn)" if item.get("origin") == "synthetic" else ""
        cells += [f"{name}{mark}", Text(shown, style=QUALITY_STYLE.get(quality, ""))]
    for at in range(0, len(cells), 4):
        table.add_row(*cells[at : at + 4])
    return Panel(table, title=_context_title(snapshot), border_style="blue")


def _context_title(snapshot: Snapshot) -> str:
    context = snapshot.context
    if not context:
        return "daily context: none yet"
    bills = len(context.get("pending_bills", []))
    as_of = eastern(context["as_of"])
    return f"daily context as of {as_of}, {context['context_id'][:12]}, {bills} bills"


def in_order(provenance: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give the features in the context's own order: its sixteen fields, then the further ones."""
    first = [name for name in DailyContext.model_fields if name in provenance]
    return [
        (name, provenance[name]) for name in [*first, *(n for n in provenance if n not in first)]
    ]


def _signals(snapshot: Snapshot, rows: int, width: int) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False, padding=(0, 1, 0, 0))
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
        f"Ctrl-C ends everything. MCP: {settings.hub.url}",
        f"claude mcp add --transport http relentless {settings.hub.url} "
        f'--header "Authorization: Bearer $(cat {shown})"',
    ]
