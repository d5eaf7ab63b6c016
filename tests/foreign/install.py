"""Install what the lock file beside this names, once; and the Node of npm that some of it needs."""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = HERE / "node_modules"


class Absent(Exception):
    """What is needed is not on this machine."""


def install(folder: Path = HERE) -> None:
    """Install a folder's packages where they are not there yet, running no script of theirs.

    Raises:
        Absent: no node, no npm, or npm failed.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Absent("no node and npm here: what comes from npm cannot run")
    installed, lock = folder / "node_modules/.package-lock.json", folder / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = [npm, "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )
    if done.returncode != 0:
        raise Absent(f"npm ci failed: {done.stderr.strip()[-300:]}")
    installed.touch()


def node22() -> Path | None:
    """Give the Node that came with the packages; None where npm has none for this machine."""
    return next(MODULES.glob("node-linux-*/bin/node"), None)
