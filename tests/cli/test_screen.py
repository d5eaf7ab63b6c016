"""The screen and the lines, drawn from a snapshot."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from relentless.cli.plan import Plan, Wish, plan_run
from relentless.cli.report import JsonReporter
from relentless.cli.screen import connect_lines, describe, draw, in_order
from relentless.cli.supervisor import Supervisor
from relentless.cli.view import Snapshot
from relentless.configs.settings import Settings
from relentless.proto.signal import Action, Flag, Signal

SIGNAL = Signal(
    timestamp=1_381_152_600_000_000_000,
    symbol_id=1,
    action=Action.BUY,
    confidence=0.625,
    price_target=169.5,
    stop_loss=167.25,
    position_size=0.5,
    risk_score=12,
    urgency=3,
    strategy_id=1,
    sequence=7,
    context_id=1,
    model_version=1,
    flags=Flag.SYNTHETIC,
)
FEATURE = {"value": 0.09, "previous": 0.08, "quality": "ok", "source": "FRED DFF", "origin": "live"}
GONE = {"value": None, "previous": None, "quality": "missing", "source": ""}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_run(Settings(), Wish(day=True, state=tmp_path))


def full(plan: Plan) -> Snapshot:
    snapshot = Snapshot(plan.title, symbols={1: "SPY"}, synthetic=True, signal_count=7)
    snapshot.signals.append(SIGNAL)
    snapshot.context = {
        "context_id": "ab" * 32,
        "as_of": "2013-10-07T09:30:00Z",
        "pending_bills": ["113-hjres-59"],
        "provenance": {"vix": FEATURE, "news_sentiment": GONE, "fed_funds_rate": FEATURE},
    }
    snapshot.agents = [
        {
            "agent": "FredAgent",
            "alive": True,
            "topics": ["rates"],
            "last_seen_s": 1.0,
            "last_run": {
                "scheduled_at": "2013-10-07T09:15:00Z",
                "status": "degraded",
                "messages": 17,
            },
        }
    ]
    snapshot.stats = {"p50_us": 41.0, "p99_us": 80.0, "ticks_per_s": 12.0}
    snapshot.status = {"halt": {"halted": True, "reason": "checking"}}
    return snapshot


def text(plan: Plan, snapshot: Snapshot, width: int, height: int) -> str:
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(draw(plan, snapshot, None, width, height))
    return console.export_text()


def test_a_wide_screen_shows_everything_that_a_person_looks_for(plan: Plan) -> None:
    shown = text(plan, full(plan), 180, 50)
    for wanted in (
        "FredAgent",
        "degraded",
        "fed_funds_rate",
        "0.09",
        "missing",
        "SPY",
        "BUY",
        SIGNAL.pack().hex()[:40],
        "p50 41 us",
        "SYNTHETIC",
        "HALTED: checking",
        plan.settings.hub.url,
        "05:30 ET",
    ):
        assert wanted in shown, wanted


def test_a_small_terminal_still_shows_the_figures_and_the_last_frame(plan: Plan) -> None:
    shown = text(plan, full(plan), 80, 24)
    assert "p50 41 us" in shown and SIGNAL.pack().hex()[:20] in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    for wanted in ("SYNTHETIC", "fed_funds_rate", "missing", "FredAgent degraded", "synthetic"):
        assert wanted in shown, wanted
    pasted = "".join(line.rstrip() for line in shown.splitlines()[-3:])
    assert pasted.endswith('reader.key)"'), "the line to paste is whole"


def test_the_newest_events_are_the_ones_shown(plan: Plan) -> None:
    snapshot = full(plan)
    snapshot.events.extend(f"event {number}." for number in range(50))
    for width, height in ((80, 24), (120, 40), (180, 50)):
        shown = text(plan, snapshot, width, height)
        assert "event 49." in shown and "event 48." in shown and "event 0." not in shown


def test_moved_ports_and_other_notes_are_on_the_screen(plan: Plan) -> None:
    noted = replace(plan, notes=("hub: port 8765 is in use, so 40000 it is",))
    for width, height in ((80, 24), (120, 40)):
        assert "note: hub: port 8765 is in use, so 40000" in text(noted, full(plan), width, height)


def test_scripts_are_told_where_things_are_and_how_it_ended(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = plan.settings.paths.state / "logs"
    logs.mkdir()
    figures = {"fills": 2, "equity": 1_000_001.5, "realised": 1.0, "unrealised": 0.5}
    (logs / "trade.log").write_text(json.dumps({"event": "blotter", **figures}) + "\n{}\n")
    reporter = JsonReporter(plan, full(plan))
    with reporter:
        pass
    reporter.summary(Supervisor(logs, {}, lambda *_: None))
    run, end = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert run["event"] == "run" and run["hub"] == plan.settings.hub.url
    assert Path(run["settings"]).is_file()
    assert end["event"] == "end" and end["paper"] == figures
    assert describe("end", end).endswith(
        "paper trading: 2 fills, equity 1,000,001.50 (realised +1.00, unrealised +0.50)"
    )


def test_an_empty_run_can_be_drawn(plan: Plan) -> None:
    assert "daily context" in text(plan, Snapshot(plan.title), 120, 40)


def test_the_sixteen_fields_come_first_and_nothing_is_lost() -> None:
    names = [name for name, _ in in_order({"vix": 1, "fed_stance": 2, "legislative_risk_score": 3})]
    assert names == ["legislative_risk_score", "fed_stance", "vix"]


def test_events_are_sentences() -> None:
    assert describe("restart", {"process": "hub", "exit": -9, "pause_s": 0.5}) == (
        "hub ended (exit -9); starting it again in 0.5 s"
    )
    ran = {"agent": "FredAgent", "scheduled_at": "2013-10-07T09:15:00Z", "status": "degraded"}
    said = describe("agent", {**ran, "messages": 17, "gaps": ["DFF: 500"]})
    assert said == "FredAgent ran for 10-07 05:15 ET: degraded, 17 messages, gaps: DFF: 500"


def test_the_connection_can_be_pasted(plan: Plan) -> None:
    address, line = connect_lines(plan)
    assert plan.settings.hub.url in address and line.startswith("claude mcp add --transport http")
