"""The online store on Redis: one key with the newest context, and a channel that announces it.

Redis may be restarted empty, or be away: every use ends within :data:`TIMEOUT_S` and says so with a
typed error, watchers come back by themselves, and a store that put a context puts it again where
Redis has lost it. The value carries its SHA-256, because Redis serves what it reads back from its
log without a look at it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from relentless.proto.daily import DailyContext
from relentless.proto.errors import InvalidSettings, Unavailable

KEY = "relentless:context"
"""The key, and the channel's name; its bytes are the SHA-256 in hex, a line end, and the JSON."""

TIMEOUT_S = 2.0
"""For one use; a connection and each answer get half of it."""

POLL_S = 1.0
"""A watcher that hears nothing for so long reads the key: an announcement may have been missed."""

RETRY_S = 0.5
"""Between a watcher's attempts to come back."""

T = TypeVar("T")


class RedisOnline:
    """An :class:`relentless.store.ports.OnlineStore`; made by ``open_online``.

    Raises:
        InvalidSettings: the URL is not one of Redis.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._where = f"Redis at {parts.hostname or parts.path}" + (
            f":{parts.port}" if parts.port else ""
        )
        try:
            self._redis: Redis = Redis.from_url(
                url,
                socket_connect_timeout=TIMEOUT_S / 2,
                socket_timeout=TIMEOUT_S / 2,
                # Once more at once: a pooled connection may be older than the server.
                retry=Retry(NoBackoff(), 1),
                retry_on_error=[RedisConnectionError],
            )
        except ValueError as error:
            raise InvalidSettings(
                f"redis.url ({self._where}) is not usable: write redis://, rediss:// or unix://"
            ) from error
        self._put: DailyContext | None = None
        self._closed = asyncio.Event()

    async def put_context(self, context: DailyContext) -> None:
        """Make this the newest context, and tell the watchers.

        Raises:
            Unavailable: Redis did not take it in time; it will, with the next put or get.
        """
        self._put = context
        value = _encode(context)

        async def write() -> None:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.set(KEY, value)
                pipeline.publish(KEY, value)
                await pipeline.execute()

        await self._bounded(write)

    async def get_context(self) -> DailyContext | None:
        """Give the newest context. Where Redis has lost what was put from here, put it again.

        Raises:
            Unavailable: Redis did not answer in time, or what it holds is damaged.
        """

        async def read() -> Any:
            return await self._redis.get(KEY)

        value = await self._bounded(read)
        if value is None and self._put is not None:
            await self.put_context(self._put)
            return self._put
        return None if value is None else self._decode(value)

    async def watch(self) -> AsyncIterator[DailyContext]:
        """Give the newest context, then each newer one, until the store is closed.

        Comes back by itself after Redis was away, with the context that is newest then.
        """
        seen = ""
        while not self._closed.is_set():
            with suppress(RedisError, OSError, Unavailable):
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(KEY)
                    # Subscribed first, read second: what is put in between comes twice, not never.
                    context = await self.get_context()
                    while not self._closed.is_set():
                        if context is not None and context.context_id != seen:
                            seen = context.context_id
                            yield context
                        context = await self._next(channel)
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._closed.wait()

    async def close(self) -> None:
        """Let go of the connections, and end the watchers."""
        self._closed.set()
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.aclose()

    async def _next(self, channel: PubSub) -> DailyContext | None:
        """Wait for an announcement; after :data:`POLL_S` without one read the key."""
        message = await channel.get_message(ignore_subscribe_messages=True, timeout=POLL_S)
        if message is None or message["type"] != "message":
            return await self.get_context()
        return self._decode(message["data"])

    async def _bounded(self, use: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await use()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"{self._where} cannot be used now ({type(error).__name__}); see that it runs, or "
                "unset redis.url to keep the context in process"
            ) from error

    def _decode(self, value: bytes) -> DailyContext:
        digest, _, body = value.partition(b"\n")
        with suppress(ValidationError):
            if hashlib.sha256(body).hexdigest().encode() == digest:
                return DailyContext.model_validate_json(body)
        raise Unavailable(f"{self._where} holds a damaged context; build the context again")


def _encode(context: DailyContext) -> bytes:
    body = context.canonical_bytes()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body
