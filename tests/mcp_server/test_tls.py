"""The hub's listener: TLS, client certificates, and no key in the clear over a network."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from relentless.configs.access import TlsSettings
from relentless.configs.clock import ManualClock
from relentless.configs.settings import HubSettings, Settings
from relentless.mcp_server.http import HttpServer, bind
from relentless.mcp_server.server import build, serve
from relentless.proto.errors import InvalidSettings
from relentless.store.keys import local_credential
from tests.certificates import family

from .helpers import settings_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a hub's and a client's certificate of it, and a stranger's."""
    return family(tmp_path_factory.mktemp("tls"))


def tls(folder: Path, *, mutual: bool = False) -> TlsSettings:
    ca = folder / "ca.pem" if mutual else None
    own = (folder / "client.pem", folder / "client.key") if mutual else (None, None)
    return TlsSettings(
        cert=folder / "hub.pem",
        key=folder / "hub.key",
        client_ca=ca,
        own_cert=own[0],
        own_key=own[1],
    )


@asynccontextmanager
async def listening(
    settings: Settings, clock: ManualClock, at: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Serve a hub on an address, as its settings say; gives the port."""
    listener = bind(at, 0)
    port: int = listener.getsockname()[1]
    async with build(settings, clock=clock) as hub:
        server = HttpServer(hub.app, hub.before_end, settings.hub.tls)
        task = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(30):
                await server.ready.wait()
            yield port
        finally:
            server.should_exit = True
            async with asyncio.timeout(30):
                await task


def trusting(folder: Path, client: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client is not None:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return context


async def test_the_hub_speaks_tls_and_nothing_else(
    settings: Settings, clock: ManualClock, folder: Path
) -> None:
    chosen = settings_for(settings.paths.state, tls=tls(folder))
    async with listening(chosen, clock) as port:
        async with httpx.AsyncClient(verify=trusting(folder)) as http:
            answer = await http.get(f"https://localhost:{port}/health")
        assert answer.json() == {"ok": True}
        async with httpx.AsyncClient(verify=ssl.create_default_context()) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(f"https://localhost:{port}/health")
        async with httpx.AsyncClient(verify=False) as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(f"http://localhost:{port}/health")


async def test_with_an_authority_for_clients_only_its_certificates_get_in(
    settings: Settings, clock: ManualClock, folder: Path
) -> None:
    chosen = settings_for(settings.paths.state, tls=tls(folder, mutual=True))
    async with listening(chosen, clock) as port:
        url = f"https://127.0.0.1:{port}"
        async with httpx.AsyncClient(verify=trusting(folder, "client"), base_url=url) as http:
            assert (await http.get("/health")).is_success
            assert (await http.post("/mcp", json={})).status_code == 401, "a key is asked for too"
        for client in (None, "stranger"):
            async with httpx.AsyncClient(verify=trusting(folder, client), base_url=url) as http:
                with pytest.raises(httpx.TransportError):
                    await http.get("/health")


@pytest.mark.parametrize("mutual", [False, True])
async def test_our_own_client_reaches_the_process_by_its_own_settings(
    settings: Settings, folder: Path, tmp_path: Path, mutual: bool
) -> None:
    """The command line in its own process, trusting the authority by OpenSSL's variable."""
    file = tmp_path / "settings.json"
    stop = asyncio.Event()
    listener = bind("127.0.0.1", 0)  # a free port
    port = listener.getsockname()[1]
    listener.close()
    chosen = settings_for(settings.paths.state, tls=tls(folder, mutual=mutual), port=port)
    file.write_text(chosen.dump())
    task = asyncio.create_task(serve(chosen, stop=stop))
    try:
        async with (
            asyncio.timeout(60),
            httpx.AsyncClient(
                verify=trusting(folder, "client"), base_url=chosen.hub.base_url
            ) as http,
        ):
            while True:
                try:
                    await http.get("/health")
                    break
                except httpx.ConnectError:
                    assert not task.done()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "relentless", "status"),
            env=os.environ
            | {"RELENTLESS_SETTINGS": str(file), "SSL_CERT_FILE": str(folder / "ca.pem")},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        assert b'"market_time"' in said
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "hub.example"])
async def test_no_address_beyond_this_machine_without_tls(
    settings: Settings, folder: Path, host: str
) -> None:
    plain = settings_for(settings.paths.state, host=host)
    with pytest.raises(InvalidSettings, match=r"hub\.tls\.cert.*insecure_bind"):
        await serve(plain, stop=asyncio.Event())
    HubSettings(host=host, tls=tls(folder)).check_bind()
    HubSettings(host=host, insecure_bind=True).check_bind()
    for local in ("127.0.0.1", "::1", "localhost"):
        HubSettings(host=local).check_bind()


@pytest.mark.promise("P13")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
async def test_host_and_origin_are_checked_whatever_the_hub_listens_on(
    settings: Settings, clock: ManualClock, host: str
) -> None:
    chosen = settings_for(
        settings.paths.state, host=host, insecure_bind=True, allowed_hosts=("hub.example",)
    )
    at = "[::1]" if host == "::" else "127.0.0.1"
    keys = {
        "/mcp": local_credential(settings.paths.state, "reader"),
        "/control/lease": local_credential(settings.paths.state, "predictor"),
    }
    good = [{}, {"host": "hub.example"}, {"host": "hub.example:1"}, {"origin": "http://localhost"}]
    good += [{"origin": "https://hub.example"}, {"origin": "https://hub.example:8443"}]
    bad: dict[int, list[dict[str, str]]] = {
        421: [{"host": "evil.example"}, {"host": "127.0.0.1.evil.example"}, {"host": "10.1.2.3"}],
        403: [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://hub"}],
    }
    async with (
        listening(chosen, clock, host) as port,
        httpx.AsyncClient(base_url=f"http://{at}:{port}", timeout=30) as http,
    ):
        for path, key in keys.items():
            heads = {"x-api-key": key, "accept": "application/json, text/event-stream"}
            for more in good:
                answer = await http.post(path, json={}, headers=heads | more)
                assert answer.status_code == 400, (path, more, answer.text)
            for status, cases in bad.items():
                for more in cases:
                    answer = await http.post(path, json={}, headers=heads | more)
                    assert answer.status_code == status, (path, more, answer.text)
