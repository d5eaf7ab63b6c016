"""The signing keys of an authorization server: fetched, kept, and changed when it changes them.

A key that is known is used at once; a set that has aged is fetched again beside the calls. A key id
that is not known waits for one fetch, at most every ``RETRY_S``, so that made-up ids cost the
authorization server nothing. While it cannot be reached, the keys that are known go on for
``STALE_S``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx2
import structlog
from jwt import PyJWK, PyJWKSet, PyJWTError

from relentless.proto.errors import Unauthenticated, Unavailable

log = structlog.get_logger()
RETRY_S: Final = 10.0
STALE_S: Final = 86_400.0
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1_048_576

Fetch = Callable[[], Awaitable[bytes]]


class Jwks:
    """A key set behind a function that fetches it."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        max_age_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._keys: dict[str | None, PyJWK] = {}
        self._loaded = self._tried = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> PyJWK:
        """Give a signing key; without an id the only one there is.

        Raises:
            Unauthenticated: there is no such key, as far as is known.
        """
        found = self._find(key_id)
        if found is None or self._age() >= self._max_age_s:
            task = self._refreshing()
            if found is None and task is not None:
                await asyncio.shield(task)
                found = self._find(key_id)
        if found is None:
            raise Unauthenticated("the token is signed with a key that is not known")
        return found

    async def close(self) -> None:
        """End a fetch that runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _age(self) -> float:
        return self._monotonic() - self._loaded

    def _find(self, key_id: str | None) -> PyJWK | None:
        if self._age() >= STALE_S:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _refreshing(self) -> "asyncio.Task[None] | None":
        """Give the fetch that runs or may begin now; None where the last one is too recent."""
        if self._task is None or self._task.done():
            now = self._monotonic()
            if now - self._tried < RETRY_S:
                return None
            self._tried = now
            self._task = asyncio.get_running_loop().create_task(self._refresh())
        return self._task

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                text = await self._fetch()
            keys = PyJWKSet.from_json(text.decode()).keys
        except (
            PyJWTError,
            Unavailable,
            ValueError,
            AttributeError,
            TypeError,
            TimeoutError,
        ) as error:
            log.warning("signing keys could not be fetched", error=type(error).__name__)
            return
        self._keys = {key.key_id: key for key in keys if key.public_key_use in (None, "sig")}
        self._loaded = self._monotonic()


def from_url(url: str) -> Fetch:
    """Give a function that fetches a key set over HTTP, in no more than ``MAX_BYTES``."""

    async def fetch() -> bytes:
        body = bytearray()
        try:
            async with (
                httpx2.AsyncClient(timeout=TIMEOUT_S) as http,
                http.stream("GET", url) as answer,
            ):
                if answer.status_code != 200:
                    raise Unavailable(f"the key set answers {answer.status_code}")
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MAX_BYTES:
                        raise Unavailable("the key set is too large")
        except httpx2.HTTPError as error:
            raise Unavailable(f"the key set cannot be reached ({type(error).__name__})") from error
        return bytes(body)

    return fetch


def from_file(path: Path) -> Fetch:
    """Give a function that reads a key set from a file."""

    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise Unavailable(f"the key set {path} cannot be read: {error.strerror}") from error

    return fetch
