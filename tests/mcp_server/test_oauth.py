"""The hub as an OAuth resource server, towards a stand-in for the authorization server."""

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from relentless.configs.access import OAuthSettings
from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server import jwks
from relentless.mcp_server.jwks import Jwks
from relentless.mcp_server.oauth import SCOPES, Tokens
from relentless.proto.errors import Unauthenticated, Unavailable
from relentless.serving.clients.hub import HubClient
from relentless.store.ports import Role

from .helpers import Served, news, serving, settings_for
from .issuer import AUDIENCE, ISSUER, Issuer, key_set
from .test_access import code, post

pytestmark = pytest.mark.promise("P13")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def served(
    settings: Settings, clock: ManualClock, issuer: Issuer, tmp_path: Path
) -> AsyncIterator[Served]:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(issuer))
    oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": file}
    async with serving(settings_for(settings.paths.state, oauth=oauth), clock) as running:
        yield running


async def status(served: Served, token: str, tool: str = "get_status", **arguments: Any) -> Any:
    params = {"name": tool, "arguments": arguments}
    return await post(served, "tools/call", params, authorization=f"Bearer {token}")


def symmetric(issuer: Issuer) -> str:
    """A token whose signature is an HMAC with the issuer's public key as its secret."""
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = headed(issuer, b'{"alg":"HS256","kid":"one","typ":"JWT"}')
    mac = hmac.digest(public, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def unsigned(issuer: Issuer) -> str:
    return headed(issuer, b'{"alg":"none","kid":"one","typ":"JWT"}') + "."


def headed(issuer: Issuer, header: bytes) -> str:
    """A good token's claims under another header, without a signature."""
    head = base64.urlsafe_b64encode(header).decode().rstrip("=")
    return f"{head}.{issuer.token().split('.')[1]}"


NOW = int(time.time())
BAD: dict[str, dict[str, Any]] = {
    "wrong audience": {"aud": "https://other.example/mcp"},
    "no audience": {"aud": None},
    "wrong issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": NOW - 3_600, "iat": NOW - 7_200, "nbf": NOW - 7_200},
    "without an end": {"exp": None},
    "not yet valid": {"nbf": NOW + 3_600},
    "issued in the future": {"iat": NOW + 3_600},
    "no subject": {"sub": None},
    "unknown key": {"header": {"kid": "two"}},
    "another kind of token": {"header": {"typ": "logout+jwt"}},
    "a name that is none": {"sub": "not a name"},
    "the hub's own name": {"sub": "Hub"},
    "a subject that cannot be written": {"sub": "\u202e\ud800", "scope": "x"},
    "a subject without end": {"sub": "x" * 300},
    "too long": {"padding": "x" * 10_000},
}


@pytest.mark.parametrize("case", BAD)
async def test_a_token_that_is_not_ours_is_answered_401(
    served: Served, issuer: Issuer, case: str
) -> None:
    assert (await status(served, issuer.token())).status_code == 200
    answer = await status(served, issuer.token(**BAD[case]))
    assert answer.status_code == 401


async def test_no_algorithm_but_an_asymmetric_one_with_the_issuers_key_is_accepted(
    served: Served, issuer: Issuer
) -> None:
    forged = Issuer("one").token()  # the same key id, another key
    cut = issuer.token()[:-8]
    swapped = ".".join((*issuer.token().split(".")[:2], issuer.token(sub="x").split(".")[2]))
    for token in (symmetric(issuer), unsigned(issuer), forged, cut, swapped, "a.b.c", ".."):
        assert (await status(served, token)).status_code == 401, token[:40]


async def test_a_refusal_says_where_to_ask_and_for_which_scope(
    served: Served, issuer: Issuer
) -> None:
    at = "https://hub.example/.well-known/oauth-protected-resource/mcp"
    unknown = await status(served, "x")
    scopeless = await status(served, issuer.token("openid profile"))
    assert (unknown.status_code, scopeless.status_code) == (401, 403)
    for answer, error in ((unknown, "invalid_token"), (scopeless, "insufficient_scope")):
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith("Bearer ")
        for part in (f'error="{error}"', f'resource_metadata="{at}"', 'scope="relentless.read"'):
            assert part in challenge
    async with httpx.AsyncClient(base_url=served.base) as http:
        path = "/.well-known/oauth-protected-resource/mcp"
        metadata = (await http.get(path, headers={"origin": "https://app.example"})).json()
        lease = await http.post("/control/lease", json={})
    assert metadata["resource"] == AUDIENCE
    assert [url.rstrip("/") for url in metadata["authorization_servers"]] == [ISSUER]
    assert metadata["scopes_supported"] == list(SCOPES)
    assert at in lease.headers["www-authenticate"]


async def test_scopes_are_roles_and_a_token_does_one_job(served: Served, issuer: Issuer) -> None:
    halt = {"halted": True, "reason": "test"}
    read, operate = issuer.token(), issuer.token("relentless.operate relentless.read")
    both = issuer.token("relentless.operate relentless.publish:news", sub="NewsDesk")
    assert code((await status(served, read, "set_trading_halt", **halt)).json()) == "forbidden"
    assert code((await status(served, operate, "set_trading_halt", **halt)).json()) is None
    assert (await status(served, both)).status_code == 403
    listed = issuer.token(scope=None, scp=["relentless.read"])  # type: ignore[arg-type]
    assert (await status(served, listed)).status_code == 200


async def test_an_agent_publishes_as_its_name_and_on_its_topics_alone(
    served: Served, issuer: Issuer
) -> None:
    token = issuer.token("relentless.publish:news relentless.publish:signal", sub="NewsDesk")
    said: dict[str, str | None] = {}
    for name, message in {
        "own": news(source_agent="NewsDesk", topic="news"),
        "another": news(topic="news"),
        "another topic": news(source_agent="NewsDesk", topic="note"),
        "the hub's": news(source_agent="NewsDesk", topic="signal"),
    }.items():
        answer = await status(served, token, "publish_context", message=message)
        said[name] = code(answer.json())
    assert said.pop("own") is None
    assert said["another"] == said["another topic"] == "forbidden"
    assert said["the hub's"] in ("forbidden", "invalid_message")
    async with HubClient(served.url, served.credential("operator")) as operator:
        page = await operator.read_resource("audit://log")
    assert '"oauth:NewsDesk"' in page and token not in page


async def test_keys_and_tokens_work_side_by_side(served: Served, issuer: Issuer) -> None:
    assert (await status(served, served.credential("reader"))).status_code == 200
    async with HubClient(served.url, issuer.token()) as hub:
        assert (await hub.call("get_status"))["status"]["refused_keys"] == 0


async def test_a_hub_without_an_issuer_takes_no_token(
    settings: Settings, clock: ManualClock, issuer: Issuer
) -> None:
    async with serving(settings, clock) as plain:
        assert (await status(plain, issuer.token())).status_code == 401
        async with httpx.AsyncClient(base_url=plain.base) as http:
            answer = await http.get("/.well-known/oauth-protected-resource/mcp")
        assert answer.status_code == 404


class Published:
    """A key set behind a function: changed, counted, and taken away by a test."""

    def __init__(self, *issuers: Issuer) -> None:
        self.issuers = issuers
        self.body: bytes | None = None
        self.down = False
        self.asked = 0
        self.now = 0.0

    async def fetch(self) -> bytes:
        self.asked += 1
        if self.down:
            raise Unavailable("down")
        return self.body or key_set(*self.issuers)

    def jwks(self) -> Jwks:
        return Jwks(self.fetch, max_age_s=300, monotonic=lambda: self.now)


async def settled(keys: Jwks) -> None:
    if keys._task is not None:
        await keys._task


async def test_a_new_key_is_fetched_when_it_is_first_seen_and_an_old_one_goes() -> None:
    old, new = Issuer("old"), Issuer("new", "ES256")
    published = Published(old)
    keys = published.jwks()
    settings = OAuthSettings(issuer=ISSUER, audience=AUDIENCE, jwks_file=Path("x"))
    tokens = Tokens(settings, AUDIENCE, keys)
    assert await tokens.verify(old.token()) is not None
    published.issuers = (new,)
    assert await tokens.verify(new.token()) is None, "the last fetch is too recent"
    published.now = jwks.RETRY_S
    assert await tokens.verify(new.token()) is not None
    assert await tokens.verify(old.token()) is None


async def test_made_up_key_ids_cost_one_fetch_every_so_often() -> None:
    published = Published(Issuer("one"))
    keys = published.jwks()

    async def ask(name: str) -> None:
        with pytest.raises(Unauthenticated):
            await keys.key(name)

    await asyncio.gather(*(ask(f"made-up-{n}") for n in range(500)))
    assert published.asked == 1
    published.now = jwks.RETRY_S
    await asyncio.gather(*(ask(f"made-up-{n}") for n in range(500)))
    assert published.asked == 2


async def test_known_keys_go_on_while_the_key_server_is_down_but_not_for_ever() -> None:
    published = Published(Issuer("one"))
    keys = published.jwks()
    await keys.key("one")
    published.down, published.now = True, 3_600.0
    await keys.key("one")
    await settled(keys)
    with pytest.raises(Unauthenticated):
        await keys.key("two")
    published.now = jwks.STALE_S
    with pytest.raises(Unauthenticated):
        await keys.key("one")


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"\xff", b'{"keys": [1]}', b'{"keys": [{"kty": "RSA"}]}', b'{"keys": 3}']
)
async def test_a_key_set_that_cannot_be_read_changes_nothing(body: bytes) -> None:
    published = Published(Issuer("one"))
    keys = published.jwks()
    await keys.key("one")
    published.body, published.now = body, 1_000.0
    await keys.key("one")
    await settled(keys)
    await keys.key("one")
    assert published.asked == 2


async def test_a_fetch_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_S", 0.05)
    keys = Jwks(asyncio.Event().wait, max_age_s=1)  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        with pytest.raises(Unauthenticated):
            await keys.key("one")
    await keys.close()


async def test_keys_come_from_a_server_and_only_within_a_bound(issuer: Issuer) -> None:
    bodies = {"/ok": key_set(issuer), "/long": b"x" * (jwks.MAX_BYTES + 1)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in bodies else 404)
            self.end_headers()
            self.wfile.write(bodies.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert await jwks.from_url(f"{url}/ok")() == bodies["/ok"]
        for path in ("/long", "/absent"):
            with pytest.raises(Unavailable):
                await jwks.from_url(url + path)()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
    with pytest.raises(Unavailable):
        await jwks.from_url(f"{url}/ok")()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"jwks_url": "https://a.example/k", "jwks_file": "k"},
        {"jwks_url": "http://a.example/k"},
        {"jwks_file": "k", "clock_skew_s": 3_600},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OAuthSettings(issuer=ISSUER, **given)


async def test_a_token_ends_within_the_clock_skew(issuer: Issuer) -> None:
    published = Published(issuer)
    settings = OAuthSettings(issuer=ISSUER, jwks_file=Path("x"), clock_skew_s=30)
    tokens = Tokens(settings, AUDIENCE, published.jwks())
    now = int(time.time())
    assert await tokens.verify(issuer.token(exp=now - 15)) is not None
    assert await tokens.verify(issuer.token(exp=now - 45)) is None
    found = await tokens.verify(issuer.token("relentless.publish:rates", sub="RateDesk"))
    assert found is not None
    assert found.principal.role is Role.AGENT  # type: ignore[attr-defined]
