"""The hub as an OAuth 2.1 resource server: access tokens beside API keys.

A token is a JWT of one issuer for one audience, signed with one of the issuer's published keys by
an asymmetric algorithm. Its scopes say what it is for, and it is for one thing: to read, to
operate, or to publish certain topics as the agent that it names. Below stands
:mod:`~relentless.mcp_server.jwks`; the HTTP application serves the metadata of RFC 9728.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import jwt
from mcp.server.auth.provider import AccessToken

from relentless.configs.access import OAuthSettings
from relentless.mcp_server.auth import READ_SCOPE, HubToken
from relentless.mcp_server.exchange import HUB
from relentless.mcp_server.jwks import Jwks, from_file, from_url
from relentless.proto.contexts import HUB_TOPICS, Topic
from relentless.proto.errors import RelentlessError
from relentless.store.ports import Principal, Role

OPERATE_SCOPE: Final = "relentless.operate"
PUBLISH_SCOPE: Final = "relentless.publish:"
SCOPES: Final = (
    READ_SCOPE,
    OPERATE_SCOPE,
    *(f"{PUBLISH_SCOPE}{topic.value}" for topic in Topic if topic not in HUB_TOPICS),
)
"""Every scope, as the metadata lists them."""
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Asymmetric ones alone: a public key must never serve as a shared secret."""
_TYPES: Final = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
MAX_TOKEN: Final = 8_192
MAX_SUBJECT: Final = 255


class Tokens:
    """Turns access tokens into callers."""

    def __init__(self, settings: OAuthSettings, audience: str, jwks: Jwks | None = None) -> None:
        self._settings = settings
        self._audience = audience
        self._jwks = jwks or _jwks(settings)

    async def verify(self, token: str) -> AccessToken | None:
        """Give the caller; None where the token is not accepted.

        A good token without a scope of the hub's is an access token without a caller, which the
        transport refuses for its scope.
        """
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, RelentlessError):
            return None
        scopes = _scopes(claims)
        subject = str(claims["sub"])
        if not (subject.isascii() and subject.isprintable() and len(subject) <= MAX_SUBJECT):
            return None
        client = str(claims.get("client_id") or claims.get("azp") or subject)
        role, topics = _role(scopes)
        if role is None:
            return AccessToken(token="", client_id=client, scopes=sorted(scopes))
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or name == HUB or not _NAME.fullmatch(name):
            return None
        expires = datetime.fromtimestamp(int(claims["exp"]), UTC)
        # One subject's tokens share a share of the hub's time, whatever their number.
        principal = Principal(name, role, f"oauth:{subject}", topics, expires)
        return HubToken(
            token="",  # kept nowhere
            client_id=client,
            subject=name,
            scopes=[role.value, READ_SCOPE],
            expires_at=int(claims["exp"]) + int(self._settings.clock_skew_s),
            principal=principal,
        )

    async def close(self) -> None:
        """End what runs."""
        await self._jwks.close()

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > MAX_TOKEN:
            raise jwt.InvalidTokenError("too long")
        header = jwt.get_unverified_header(token)
        kind = header.get("typ")
        if header.get("alg") not in ALGORITHMS or (kind and str(kind).lower()) not in _TYPES:
            raise jwt.InvalidAlgorithmError("no access token of an accepted algorithm")
        key = await self._jwks.key(header.get("kid"))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._audience,
            issuer=self._settings.issuer,
            leeway=self._settings.clock_skew_s,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims


def _jwks(settings: OAuthSettings) -> Jwks:
    if settings.jwks_file is not None:
        return Jwks(from_file(settings.jwks_file), max_age_s=settings.jwks_max_age_s)
    return Jwks(from_url(str(settings.jwks_url)), max_age_s=settings.jwks_max_age_s)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Give the scopes of RFC 9068's ``scope``, or of ``scp``, which some servers write."""
    said = claims.get("scope", claims.get("scp", ""))
    words: Iterable[object] = said.split() if isinstance(said, str) else said or ()
    return frozenset(map(str, words)) if isinstance(words, list | tuple) else frozenset()


def _role(scopes: frozenset[str]) -> tuple[Role | None, frozenset[Topic]]:
    """Give what a token is for. One that may publish and operate is for neither."""
    topics = frozenset(
        topic
        for topic in Topic
        if topic not in HUB_TOPICS and f"{PUBLISH_SCOPE}{topic.value}" in scopes
    )
    if topics and OPERATE_SCOPE in scopes:
        return None, frozenset()
    if topics:
        return Role.AGENT, topics
    if OPERATE_SCOPE in scopes:
        return Role.OPERATOR, frozenset()
    return (Role.READER if READ_SCOPE in scopes else None), frozenset()
