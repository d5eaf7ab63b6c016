"""Who calls: a verified key, its role, and its share of the hub's time.

The SDK's bearer middleware asks :class:`KeyVerification`; tools and resources ask :class:`Gate`,
which is the one place where a call is allowed.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from pydantic import ConfigDict

from relentless.mcp_server.audit import Audit
from relentless.proto.errors import Forbidden, Overloaded, RelentlessError, Unauthenticated
from relentless.store.ports import KeyVerifier, Principal
from relentless.tools.access import permit, permit_resource, permit_route

MAX_BUCKETS: Final = 10_000
JWT_DOTS: Final = 2
"""In an access token; an API key has one."""
READ_SCOPE: Final = "relentless.read"
"""Every accepted credential may at least read something."""


class AccessTokens(Protocol):
    """Turns access tokens of an authorization server into callers."""

    async def verify(self, token: str) -> AccessToken | None:
        """Give the caller, or None where the token is not accepted."""
        ...


class HubToken(AccessToken):
    """An access token that knows its principal."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    principal: Principal


class KeyVerification(TokenVerifier):
    """API keys as the SDK's token verifier; access tokens where they are accepted as well."""

    def __init__(self, keys: KeyVerifier, tokens: AccessTokens | None = None) -> None:
        self._keys = keys
        self._tokens = tokens
        self.refused = 0
        """Requests without an accepted credential, as the application counts them."""

    def principal(self, key: str) -> Principal | None:
        """Give the caller of a key, or None where it is not accepted (uncounted)."""
        try:
            return self._keys.verify(key)
        except RelentlessError:
            return None

    async def verify_token(self, token: str) -> AccessToken | None:
        """Give the caller's token, or None where the credential is not accepted."""
        if self._tokens is not None and token.count(".") == JWT_DOTS:
            return await self._tokens.verify(token)
        principal = self.principal(token)
        if principal is None:
            return None
        expires = principal.expires_at
        return HubToken(
            token=principal.key_id,
            client_id=principal.key_id,
            subject=principal.name,
            scopes=[principal.role.value, READ_SCOPE],
            expires_at=None if expires is None else int(expires.timestamp()),
            principal=principal,
        )


class Rate:
    """A token bucket for each principal, on the wall's monotonic clock."""

    def __init__(self, per_second: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, who: str) -> None:
        """Count one call.

        Raises:
            Overloaded: too many; ``retry_after`` says when the next one may come.
        """
        now = self._monotonic()
        level, since = self._buckets.get(who, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        if level < 1:
            self._buckets[who] = (level, now)
            wait = (1 - level) / self._rate
            raise Overloaded(
                f"more than {self._rate:g} calls a second; call again in {wait:.3f} s", wait
            )
        if len(self._buckets) >= MAX_BUCKETS and who not in self._buckets:
            self._buckets.clear()
        self._buckets[who] = (level - 1, now)


class Gate:
    """Lets a call through: authenticated, of a permitted role, within its rate."""

    def __init__(
        self,
        rate: Rate,
        seen: Callable[[Principal], None],
        audit: Audit,
        local: Callable[[], Principal] | None = None,
    ) -> None:
        self._rate = rate
        self._seen = seen
        self._local = local
        self.audit = audit

    def caller(self) -> Principal:
        """Give who makes the call that is being served.

        Raises:
            Unauthenticated: nobody that is known.
        """
        token = get_access_token()
        if isinstance(token, HubToken):
            return token.principal
        if self._local is not None:
            return self._local()
        raise Unauthenticated("send an API key as X-API-Key or as Authorization: Bearer")

    def tool(
        self,
        name: str,
        caller: Principal | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Principal:
        """Let a caller, by default the one of the request, use a tool with these arguments.

        Raises:
            Unauthenticated, Forbidden, Overloaded: it may not, or not now.
        """
        caller = caller or self.caller()
        self._let(caller, name, lambda: permit(caller, name), given)
        return caller

    def resource(self, uri: str) -> Principal:
        """Let the caller read or watch a resource.

        Raises:
            Unauthenticated, Forbidden, Overloaded: it may not, or not now.
        """
        caller = self.caller()
        self._let(caller, uri, lambda: permit_resource(caller, uri))
        return caller

    def route(self, name: str, caller: Principal) -> None:
        """Let a caller use a route of the hub's own.

        Raises:
            Forbidden, Overloaded: it may not, or not now.
        """
        self._let(caller, name, lambda: permit_route(caller, name))

    def _let(
        self,
        caller: Principal,
        what: str,
        permit: Callable[[], None],
        given: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            self._rate.take(caller.key_id)
            permit()
        except (Forbidden, Overloaded) as error:
            self.audit.refuse(caller, what, error, given)
            raise
        self._seen(caller)
