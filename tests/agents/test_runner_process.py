"""The agents' process starts without a hub, waits for it, and ends in order."""

import json
import os
import signal
import subprocess
import sys
import time

from relentless.store.keys import ensure_local

START = """
import asyncio
from relentless.agents.runner import run
from relentless.configs.process import configure_logging
from relentless.configs.settings import Settings
configure_logging("agents")
asyncio.run(run(Settings()))
"""


def test_it_says_that_it_is_ready_and_ends_on_sigterm(tmp_path):
    ensure_local(tmp_path)
    (tmp_path / "settings.json").write_text(
        json.dumps(
            {
                "clock": {"start": "2013-10-07T05:25:00-04:00", "epoch": time.time(), "speed": 1.0},
                "paths": {"state": str(tmp_path)},
                "hub": {"port": 1},
                "sources": {
                    name: {"url": "http://127.0.0.1:1"} for name in ("fred", "congress", "alpaca")
                },
            }
        )
    )
    environment = {**os.environ, "RELENTLESS_SETTINGS": str(tmp_path / "settings.json")}
    process = subprocess.Popen(
        [sys.executable, "-c", START],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] == "agents"
        assert "FredAgent" in ready["agents"]
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert rest == ""
    assert "Traceback" not in errors
    for line in errors.splitlines():
        json.loads(line)
