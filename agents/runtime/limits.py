"""A rate limit that every process of the user on this machine shares, by the name of a group.

Requests of a group are spaced: one in every ``60 / per_minute`` seconds, so that no second holds
more than its share however the processes interleave. The times of the newest requests lie in a
SQLite file under a lock file (pyrate-limiter's bucket); so does the end of a pause that the source
asked for. Above: the upstream client.
"""

import asyncio
import contextlib
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Final

from pyrate_limiter import Rate, RateItem, SQLiteBucket

from relentless.proto.errors import InvalidSettings

LONGEST_S: Final = 3_600.0
"""A pause or a wait further ahead than this is a clock that was set back: it is forgotten."""


def shared_folder() -> Path:
    """Give the user's own folder for what its processes share until the machine restarts.

    Raises:
        InvalidSettings: somebody else owns a folder of that name.
    """
    folder = Path(tempfile.gettempdir()) / f"relentless-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise InvalidSettings(f"{folder} belongs to somebody else; remove it, or set TMPDIR")
    return folder


class SharedLimit:
    """The limit of one group."""

    def __init__(self, group: str, per_minute: float, folder: Path | None = None) -> None:
        """Name the group; processes share it where group and folder are the same."""
        self._base = (folder or shared_folder()) / f"limit-{group}"
        self._spacing_ms = max(1, -int(-60_000 // per_minute))
        self._bucket: SQLiteBucket | None = None
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait for this request's turn."""
        async with self._turn:  # one of this process's requests at a time asks for the next place
            while True:
                wait = await asyncio.to_thread(self._take)
                if wait <= 0:
                    return
                await asyncio.sleep(wait)

    def paused_s(self) -> float:
        """Give for how many more seconds the source asked to be left alone."""
        try:
            left = float(self._pause_file.read_text()) - time.time()
        except (OSError, ValueError):
            return 0.0
        return left if 0 < left <= LONGEST_S else 0.0

    def pause(self, seconds: float) -> None:
        """Leave the source alone, in every process; a longer pause stays."""
        until = time.time() + min(max(seconds, self.paused_s()), LONGEST_S)
        beside = self._pause_file.with_suffix(f".{os.getpid()}")
        beside.write_text(f"{until:.3f}")
        beside.replace(self._pause_file)

    def close(self) -> None:
        """Close the file."""
        if self._bucket is not None:
            self._bucket.conn.close()
            self._bucket = None

    @property
    def _pause_file(self) -> Path:
        return self._base.with_suffix(".pause")

    def _take(self) -> float:
        """Take a place now and give 0, or give the seconds after which to try again."""
        if self._bucket is None:
            self._bucket = SQLiteBucket.init_from_file(
                [Rate(1, self._spacing_ms)],
                table="requests",
                db_path=str(self._base.with_suffix(".sqlite")),
                use_file_lock=True,
            )
        bucket = self._bucket
        with bucket.lock:
            now = time.time_ns() // 1_000_000
            newest = bucket.peek(0)
            if newest is not None and newest.timestamp > now + LONGEST_S * 1_000:
                bucket.flush()
            if bucket.put(RateItem("request", now)):
                with contextlib.suppress(OSError):
                    bucket.leak(now)
                return 0.0
            left = self._spacing_ms if newest is None else newest.timestamp - now
        # Later comers of other processes wait as long: a little chance keeps them apart.
        return (max(left, 0) + self._spacing_ms * random.uniform(0.3, 1.0)) / 1_000  # noqa: S311
