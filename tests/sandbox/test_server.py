"""The process: it says where it is, serves all three services, and ends when told."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import httpx

from relentless.configs.settings import Settings

WAIT_S = 60.0


async def test_the_process_announces_itself_serves_and_ends_in_order(tmp_path: Path) -> None:
    settings = Settings(recordings=None)
    settings = settings.model_copy(
        update={
            "sandbox": settings.sandbox.model_copy(update={"port": 0}),
            "clock": settings.clock.model_copy(update={"epoch": time.time()}),
        }
    )
    file = tmp_path / "settings.json"
    file.write_text(settings.dump())
    code = (
        "import asyncio; from relentless.configs.settings import Settings;"
        "from relentless.sandbox.server import run; asyncio.run(run(Settings()))"
    )
    environment = {**os.environ, "RELENTLESS_SETTINGS": str(file)}
    environment.pop("RELENTLESS_RECORDINGS", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            ready = json.loads(await process.stdout.readline())
        assert ready["ready"] == "sandbox"
        assert ready["ws"].endswith("/v2/iex")
        async with httpx.AsyncClient(base_url=ready["http"], timeout=WAIT_S) as client:
            bills = await client.get("/v3/bill?api_key=k&format=json")
            assert bills.json()["pagination"]["count"] == 4_931
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            out, err = await process.communicate()
        assert process.returncode == 0
        assert out == b""
        assert b"Traceback" not in err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
