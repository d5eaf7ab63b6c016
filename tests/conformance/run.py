"""Run the protocol's official conformance suite against the hub, in both eras.

    python tests/conformance/run.py            # exit code 0: every scored server scenario passes

Installs the suite and the Node that it needs by the lock file of ``tests/foreign``, serves the hub
with the suite's fixtures (``serve.py``), and runs the frozen requirements of both protocol
revisions, then the header scenarios that are not scored yet. Without npm it says so and checks
nothing.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "foreign"))
from install import MODULES, Absent, install, node22  # noqa: E402

SUITE = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
REVISIONS = ("2026-07-28", "2025-11-25")
UNSCORED = ("http-header-validation", "http-custom-header-server-validation")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(node: Path, url: str, *what: str) -> tuple[int, list[str]]:
    """Run a part of the suite; give its exit code and what it printed."""
    command = [str(node), str(SUITE), "server", "--url", url, *what]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    return done.returncode, ANSI.sub("", done.stdout + done.stderr).splitlines()


def main() -> int:
    """Run everything; give the exit code."""
    try:
        install()
    except Absent as error:
        print(f"conformance: skipped, {error}")
        return 0
    node = node22()
    if node is None:
        print("conformance: skipped, npm has no Node 22 for this machine")
        return 0
    serve = [sys.executable, str(HERE / "serve.py")]
    with subprocess.Popen(
        serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
    ) as hub:
        url = (hub.stdout.readline() if hub.stdout else "").strip()
        try:
            return check(node, url) if url else 1
        finally:
            if hub.stdin:
                hub.stdin.close()
            hub.wait(20)


def check(node: Path, url: str) -> int:
    """Run each revision and each further scenario against a hub; give the exit code."""
    failed = 0
    for revision in REVISIONS:
        code, lines = run(node, url, "--requirements", revision)
        verdicts = [line for line in lines if line.startswith(("✓", "✗"))]
        unscored = {line.split()[1] for line in lines if line.startswith(("  ✓", "  ✗"))}
        scored = [line for line in verdicts if line[2:].partition(":")[0] not in unscored]
        passed = sum(line.startswith("✓") for line in scored)
        print(f"conformance: {revision}: {passed} of {len(scored)} scored scenarios pass")
        if code or not scored or passed != len(scored):
            failed += 1
            print("\n".join(line for line in scored if line.startswith("✗")))
            print("\n".join(lines[-40:]))
    for scenario in UNSCORED:
        code, lines = run(node, url, "--scenario", scenario, "--spec-version", REVISIONS[0])
        said = next((line for line in lines if line.startswith("Passed:")), "no result")
        print(f"conformance: {scenario}: {said}")
        if code:
            failed += 1
            print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
