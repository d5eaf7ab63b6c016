"""The one way out to upstream sources: timeouts, retries, breaker, rate limit, cache, typed errors.

Agents ask a :class:`Source` for JSON or bytes and get an :class:`Answer` or an error of
``proto.errors``; they never see httpx. Everything here runs on wall time and is shared by the
agents of a process.
Below: httpx for the wire, stamina for retries, purgatory for the breaker, aiolimiter for the
rate (``runtime.limits`` where a group of sources shares one over all processes), hishel for
revalidation. A key never reaches a log, an error or an evidence URL.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import stamina
from aiolimiter import AsyncLimiter
from hishel.httpx import AsyncCacheTransport
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from relentless.agents.runtime.answer import Answer, decode_json, failure, origin_of, redact
from relentless.agents.runtime.cache import MemoryStorage
from relentless.agents.runtime.limits import SharedLimit
from relentless.agents.runtime.raw import RawStore
from relentless.configs.settings import SourceSettings
from relentless.proto.contexts import Origin
from relentless.proto.errors import (
    SourceError,
    SourceMalformed,
    SourceRateLimited,
    SourceRejected,
    SourceUnavailable,
)

__all__ = ["Answer", "Policy", "Source", "Upstream"]

USER_AGENT = "relentless/0.1 (data agent)"

for _chatty in ("httpx", "httpcore", "hishel"):  # they log whole URLs, keys included
    logging.getLogger(_chatty).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds of one call, in wall seconds and bytes."""

    attempts: int = 4
    budget_s: float = 30.0
    """The whole call, waits included; a longer Retry-After ends it at once."""
    wait_initial_s: float = 0.2
    wait_max_s: float = 5.0
    wait_jitter_s: float = 0.2
    breaker_failures: int = 5
    """Calls in a row, each after its retries, that open a source's breaker."""
    breaker_open_s: float = 15.0
    max_bytes: int = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _Fetched:
    headers: httpx.Headers
    body: bytes


class Upstream:
    """The shared client. Use it as an async context manager."""

    def __init__(
        self,
        raw: Path,
        policy: Policy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: Path | None = None,
    ) -> None:
        """Make the client.

        Args:
            raw: where raw bodies are kept.
            policy: bounds of a call.
            transport: in place of the network.
            limits: where groups share their rate limits; the user's own folder where absent.
        """
        self._limits = limits
        self.policy = policy or Policy()
        self.raw = RawStore(raw)
        inner = transport or httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16)
        )
        self.client = httpx.AsyncClient(
            transport=AsyncCacheTransport(inner, MemoryStorage(), rfc={"shared": False}),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        )
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=self.policy.breaker_failures,
            default_ttl=self.policy.breaker_open_s,
            exclude=[SourceRejected, SourceMalformed, asyncio.CancelledError],
        )
        self._limiters: dict[str, AsyncLimiter] = {}
        self._groups: dict[str, SharedLimit] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.aclose()
        for group in self._groups.values():
            group.close()

    def source(
        self,
        name: str,
        settings: SourceSettings,
        *,
        secret_params: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
    ) -> "Source":
        """Give a source by name; its rate limit and breaker are shared under that name."""
        return Source(self, name, settings, dict(secret_params or {}), dict(secret_headers or {}))

    def limiter(self, name: str, per_minute: float) -> AsyncLimiter:
        """Give the source's rate limit: evenly spaced past a burst of an eighth of a minute's."""
        if name not in self._limiters:
            burst = max(1.0, per_minute / 8)
            self._limiters[name] = AsyncLimiter(burst, 60.0 * burst / per_minute)
        return self._limiters[name]

    def group(self, name: str, per_minute: float) -> SharedLimit:
        """Give the rate limit that a group of sources shares over all processes."""
        if name not in self._groups:
            self._groups[name] = SharedLimit(name, per_minute, self._limits)
        return self._groups[name]

    @property
    def breakers(self) -> AsyncCircuitBreakerFactory:
        """One breaker for each source."""
        return self._breakers


@dataclass(frozen=True, slots=True)
class Source:
    """One upstream source, with its credential."""

    upstream: Upstream
    name: str
    settings: SourceSettings
    secret_params: dict[str, str] = field(repr=False)
    secret_headers: dict[str, str] = field(repr=False)

    async def get_json(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """GET a path under the source's URL and decode its JSON.

        Args:
            path: from the root of ``settings.url``, with a leading slash.
            params: the query, without the credential.
            headers: further headers, without the credential.

        Raises:
            SourceUnavailable: cut, hung, 5xx, the budget is spent, or the breaker is open.
            SourceRateLimited: 429, to the end of the budget.
            SourceRejected: another 4xx, or a redirect.
            SourceMalformed: too large, or not the JSON it should be.
        """
        answer = await self.get_bytes(path, params, headers=headers)
        content_type = answer.headers.get("content-type", "")
        return replace(answer, value=decode_json(self.name, answer.value, content_type))

    async def get_bytes(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        accept: str | None = None,
    ) -> Answer:
        """GET a path and give its body as it came, for a parser of another format than JSON.

        ``runtime.markup`` reads XML and HTML, ``runtime.answer.decode_text`` text.

        Args:
            path: from the root of ``settings.url``, with a leading slash.
            params: the query, without the credential.
            headers: further headers, without the credential.
            accept: the media types wanted, in place of JSON.

        Raises:
            SourceError: as for :meth:`get_json`; ``SourceMalformed`` for a body that is too large.
        """
        public = httpx.QueryParams(dict(params or {}))
        url = self.settings.url.rstrip("/") + path
        shown = f"{url}?{public}" if public else url
        sent = {**({"Accept": accept} if accept else {}), **(headers or {})}
        if self.settings.user_agent:
            sent["User-Agent"] = self.settings.user_agent
        fetched = await self._guarded(url, public, sent, path)
        digest = await asyncio.to_thread(self.upstream.raw.put, fetched.body)
        return Answer(
            value=fetched.body,
            url=redact(shown, self._secrets()),
            sha256=digest,
            origin=origin_of(fetched.headers, Origin(self.settings.origin)),
            headers=dict(fetched.headers),
        )

    def _secrets(self) -> list[str]:
        return [*self.secret_params.values(), *self.secret_headers.values()]

    def _group(self) -> SharedLimit | None:
        name = self.settings.limit_group
        return self.upstream.group(name, self.settings.rate_per_min) if name else None

    async def _guarded(
        self, url: str, params: httpx.QueryParams, headers: dict[str, str], path: str
    ) -> _Fetched:
        """Call under the breaker: one call, after its retries, is one success or one failure."""
        group = self._group()
        if group is not None and (left := group.paused_s()):
            raise SourceRateLimited(self.name, f"{path}: not asked for {left:.0f} s more", left)
        breaker = await self.upstream.breakers.get_breaker(self.name)
        try:
            async with breaker:
                return await self._retried(url, params, headers, path)
        except OpenedState:
            wait = self.upstream.policy.breaker_open_s
            raise SourceUnavailable(
                self.name, f"{path}: not asked, it failed repeatedly; again within {wait:g} s"
            ) from None

    async def _retried(
        self, url: str, params: httpx.QueryParams, headers: dict[str, str], path: str
    ) -> _Fetched:
        policy = self.upstream.policy
        group = self._group()
        limiter = group or self.upstream.limiter(self.name, self.settings.rate_per_min)
        await limiter.acquire()
        deadline = time.monotonic() + policy.budget_s
        last: list[SourceError] = []

        def wait_for(error: Exception) -> bool | float:
            if not isinstance(error, SourceError) or not error.retryable:
                return False
            last.append(error)
            wait = error.retry_after if isinstance(error, SourceRateLimited) else None
            if wait and group is not None:
                group.pause(wait)
            if wait is None:
                return True
            return wait if time.monotonic() + wait < deadline else False

        try:
            async with asyncio.timeout(policy.budget_s):
                async for attempt in stamina.retry_context(
                    wait_for,
                    attempts=policy.attempts,
                    timeout=policy.budget_s,
                    wait_initial=policy.wait_initial_s,
                    wait_max=policy.wait_max_s,
                    wait_jitter=policy.wait_jitter_s,
                ):
                    with attempt:
                        if attempt.num > 1:
                            await limiter.acquire()
                        return await self._attempt(url, params, headers, path)
        except TimeoutError:
            if last:
                raise last[-1] from None
        raise SourceUnavailable(self.name, f"{path}: no answer within {policy.budget_s:g} s")

    async def _attempt(
        self, url: str, params: httpx.QueryParams, headers: dict[str, str], path: str
    ) -> _Fetched:
        """Ask once. A cached body is used only where the source says that it is unchanged."""
        timeout_s = self.settings.timeout_s
        try:
            async with (
                asyncio.timeout(timeout_s),
                self.upstream.client.stream(
                    "GET",
                    url,
                    params=params.merge(self.secret_params),
                    headers={"Cache-Control": "no-cache", **headers, **self.secret_headers},
                    timeout=timeout_s,
                ) as response,
            ):
                body = await self._read(response, path)
        except (TimeoutError, httpx.TimeoutException):
            raise SourceUnavailable(self.name, f"{path}: no answer in {timeout_s:g} s") from None
        except httpx.DecodingError:
            raise SourceMalformed(self.name, f"{path}: the compression is damaged") from None
        except httpx.HTTPError as error:
            reason = redact(f"{type(error).__name__} {error}".strip()[:160], self._secrets())
            raise SourceUnavailable(self.name, f"{path}: {reason}") from None
        error_or_none = failure(self.name, path, response.status_code, response.headers, body)
        if error_or_none is None:
            return _Fetched(response.headers, body)
        raise self._clean(error_or_none)

    async def _read(self, response: httpx.Response, path: str) -> bytes:
        limit = self.upstream.policy.max_bytes
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                raise SourceMalformed(self.name, f"{path}: the answer is larger than {limit} bytes")
        return bytes(body)

    def _clean(self, error: SourceError) -> SourceError:
        """Take the credential out of an error's words, where a source repeats it."""
        error.args = tuple(
            redact(a, self._secrets()) if isinstance(a, str) else a for a in error.args
        )
        return error
