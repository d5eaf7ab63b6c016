"""Run the recorded day headless, as a user would, and check its outcome.

Starts ``relentless up`` on the recorded data in a folder of its own, waits until the opening of the
market, and holds the three scheduled contexts against the golden values, which another script works
out from the files. Exit code 0: everything holds. Without recorded data it says so and checks none.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEED = "200"
START, UNTIL = "05:22", "09:33"
SCHEDULED = ("05:30", "08:05", "09:25")
EASTERN_DAYLIGHT_OFFSET_H = 4


def main() -> int:
    """Run the day and check it; give the exit code."""
    recordings = Path(os.environ.get("RELENTLESS_RECORDINGS") or ROOT.parent / "shared" / "data")
    if not (recordings / "PROVENANCE.md").exists():
        print("check-day: skipped, no recorded data here (set RELENTLESS_RECORDINGS)")
        return 0
    with tempfile.TemporaryDirectory(prefix="relentless-day-") as folder:
        return check(recordings.resolve(), Path(folder))


def check(recordings: Path, folder: Path) -> int:
    """Run the day into a folder and check what it left there."""
    events = run(recordings, folder)
    if events is None:
        return 1
    end = events[-1]
    problems = []
    if end.get("event") != "end":
        problems.append(f"the run did not say how it ended, but: {end}")
    if restarted := {name: n for name, n in end.get("restarts", {}).items() if n}:
        problems.append(f"processes were started again: {restarted}")
    if not end.get("signals"):
        problems.append("no signal came")
    state = Path(end.get("state", folder))
    contexts = [json.loads(path.read_text()) for path in sorted(state.glob("contexts/*.json"))]
    scheduled = [item for item in contexts if eastern_time(item["as_of"]) in SCHEDULED]
    found = [eastern_time(item["as_of"]) for item in scheduled]
    if sorted(found) != sorted(SCHEDULED):
        problems.append(f"contexts wanted at {SCHEDULED}, built at {found}")
    for problem in problems:
        print(f"check-day: {problem}")
    dump = folder / "contexts.json"
    dump.write_text(json.dumps(scheduled))
    script = Path(__file__).with_name("golden_20131007.py")
    golden = subprocess.run(
        [sys.executable, script, "--recordings", recordings, "--check", dump], check=False
    ).returncode
    if not problems and not golden:
        print(
            f"check-day: {len(scheduled)} contexts equal the golden ones, "
            f"{end['signals']:,} signals, first after {end['first_signal_s']:.1f} s"
        )
    return 1 if problems or golden else 0


def run(recordings: Path, folder: Path) -> list[dict[str, object]] | None:
    """Run ``relentless up`` to the market's opening; give its events."""
    command = [
        *(sys.executable, "-m", "relentless", "up", "--json", "--day"),
        *("--recordings", recordings, "--state", folder),
        *("--speed", SPEED, "--start", START, "--until", UNTIL, "--for", "10m"),
    ]
    events: list[dict[str, object]] = []
    patient = {**os.environ, "RELENTLESS_HUB__BUILD_GRACE_S": "120"}  # a slow machine may take long
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=patient) as process:
        for line in process.stdout or ():
            event = json.loads(line)
            events.append(event)
            if event["event"] in ("context", "first_signal", "restart", "failed", "end"):
                print(f"  {line.strip()[:240]}", flush=True)
    if process.returncode != 0 or not events:
        print(f"check-day: relentless up ended with {process.returncode}")
        for log in sorted(folder.glob("**/logs/*.log")):
            print(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-20:]))
        return None
    return events


def eastern_time(moment: str) -> str:
    """Give the time of day in New York, which is on daylight time that day."""
    at = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{at.hour - EASTERN_DAYLIGHT_OFFSET_H:02d}:{at.minute:02d}"


if __name__ == "__main__":
    sys.exit(main())
