"""Promise P11 at the hub: whatever a client sends, the answer is a typed error that tells nothing.

A real hub process is asked over real HTTP, so that what crashes would be seen to crash.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relentless.configs.clock import RunClock
from relentless.proto.errors import RelentlessError
from relentless.store.journal import open_journal
from relentless.tools.access import ACCESS

from .hostile import (
    CALLERS,
    HOSTILE,
    LEGACY,
    VALID,
    VALUES,
    headers,
    leaks,
    paths,
    put,
    request,
    said,
    twice,
    write,
)
from .processes import LONG, HubProcess, hub_process

pytestmark = pytest.mark.promise("P11")
SOME = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def codes(root: type[RelentlessError] = RelentlessError) -> set[str]:
    return {root.code}.union(*(codes(child) for child in root.__subclasses__()))


class Caller:
    """Sends bytes to a hub as somebody, in one era, and looks at every answer."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.outcomes: Counter[str] = Counter()
        self._http = httpx.Client(timeout=LONG)
        self._sessions: dict[str, str] = {}
        self._secrets = hub.secrets()

    def close(self) -> None:
        self._http.close()

    def send(self, who: str, body: bytes, tool: str | None, *, modern: bool) -> httpx.Response:
        session = None if modern else self._session(who)
        head = headers(self.hub.credential(who), tool, session=session)
        return self.checked(self._http.post(self.hub.url, content=body, headers=head))

    def checked(self, answer: httpx.Response) -> httpx.Response:
        """Hold an answer to the promise: typed, and telling nothing."""
        assert answer.status_code < 500, (answer.status_code, answer.text[:500])
        assert leaks(answer.text, self._secrets, str(self.hub.state)) == []
        assert len(answer.content) < 300_000
        found = said(answer.text) if answer.content else {}
        assert "result" in found or "error" in found or answer.status_code in (202, 404), found
        result = found.get("result", {})
        if "error" in found:
            assert isinstance(found["error"]["code"], int)
            assert found["error"]["message"]
            self.outcomes[f"protocol {found['error']['code']}"] += 1
        elif result.get("isError"):
            code = result["structuredContent"]["error"]["code"]
            assert code in codes() - {"internal"}, result
            assert len(result["content"][0]["text"]) < 5_000
            self.outcomes[code] += 1
        else:
            self.outcomes["answered"] += 1
        return answer

    def works(self) -> None:
        """Hold the hub to answer a good call."""
        body = json.dumps(request("get_status", {}, modern=True)).encode()
        answer = self.send("reader", body, "get_status", modern=True)
        assert said(answer.text)["result"]["structuredContent"]["status"]["journal"]

    def _session(self, who: str) -> str:
        if who not in self._sessions:
            hello = {
                "protocolVersion": LEGACY,
                "clientInfo": {"name": "t", "version": "1"},
                "capabilities": {},
            }
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
            head = headers(self.hub.credential(who), None, session="")
            del head["mcp-session-id"]
            answer = self._http.post(self.hub.url, json=body, headers=head)
            self._sessions[who] = answer.headers["mcp-session-id"]
            ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            self.send(who, json.dumps(ready).encode(), None, modern=False)
        return self._sessions[who]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with hub_process(tmp_path_factory.mktemp("hostile"), rate_per_s=100_000.0) as running:
        yield running


@pytest.fixture
def caller(hub: HubProcess) -> Iterator[Caller]:
    """Somebody hostile; at the end the hub still lives, answers, and logged no crash."""
    one = Caller(hub)
    yield one
    one.works()
    one.close()
    log = hub.log.read_text()
    assert "Traceback" not in log, log[-3_000:]
    assert [secret for secret in hub.secrets() if secret in log] == []


def test_every_tool_has_a_valid_call_to_break(caller: Caller) -> None:
    assert VALID.keys() == ACCESS.keys()
    for tool, arguments in VALID.items():
        who = next(name for name in CALLERS if caller_may(name, tool))
        for modern in (True, False):
            body = json.dumps(request(tool, arguments, modern=modern)).encode()
            answer = said(caller.send(who, body, tool, modern=modern).text)
            refused = answer["result"].get("structuredContent", {}).get("error", {})
            assert refused.get("code") not in ("invalid_input", "invalid_message", "forbidden")


def caller_may(name: str, tool: str) -> bool:
    role = "operator" if name == "operator" else "agent"
    return role in {each.value for each in ACCESS[tool].roles}


@pytest.mark.parametrize("tool", VALID)
@pytest.mark.parametrize("modern", [True, False], ids=["2026-07-28", "2025-11-25"])
def test_a_call_that_is_wrong_in_one_place_gets_a_typed_error(
    caller: Caller, tool: str, modern: bool, soak: bool
) -> None:
    who = next(name for name in CALLERS if caller_may(name, tool))
    whole = request(tool, VALID[tool], modern=modern)
    places = list(paths(whole))

    def broken(at: tuple[str | int, ...], value: Any, seed: int, double: bool) -> None:
        if at[-1:] == ("wait_s",) and _waits(value):
            return
        text = write(put(whole, at, value))
        if double and text.startswith("{"):
            text = twice(text, random.Random(seed))
        caller.send(who, text.encode("utf-8", "surrogatepass"), tool, modern=modern)

    for value in HOSTILE if soak else HOSTILE[:: 3 if modern else 5]:
        for at in places if soak else places[5 if modern else 4 :]:
            broken(at, value, 0, False)
    fuzz = given(st.sampled_from(places), VALUES, st.integers(0, 99), st.booleans())
    settings(SOME, max_examples=1_000 if soak else 40)(fuzz(broken))()
    assert caller.outcomes.total() > 40


def _waits(value: Any) -> bool:
    try:
        return 0.1 < float(value) <= 60
    except (TypeError, ValueError, OverflowError):
        return False


@pytest.mark.parametrize("modern", [True, False], ids=["2026-07-28", "2025-11-25"])
def test_any_json_is_answered(caller: Caller, modern: bool, soak: bool) -> None:
    @settings(SOME, max_examples=2_000 if soak else 100)
    @given(VALUES)
    def sent(value: Any) -> None:
        caller.send("operator", write(value).encode("utf-8", "surrogatepass"), None, modern=modern)

    sent()


@pytest.mark.parametrize("modern", [True, False], ids=["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize(
    "method",
    [
        "initialize",
        "ping",
        "tools/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "server/discover",
        "notifications/cancelled",
        "no/such\ud800",
    ],
)
def test_every_method_refuses_what_it_does_not_know(
    caller: Caller, method: str, modern: bool, soak: bool
) -> None:
    @settings(SOME, max_examples=300 if soak else 15)
    @given(VALUES, VALUES)
    def sent(params: Any, number: Any) -> None:
        whole = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        body = write(whole).encode("utf-8", "surrogatepass")
        caller.send("reader", body, None, modern=modern)

    sent()


@pytest.mark.parametrize("path", ["/mcp", "/control/lease", "/health", "/none", "/mcp/x"])
def test_bytes_that_are_no_json_are_refused_on_every_path(caller: Caller, path: str) -> None:
    root = caller.hub.url.removesuffix("/mcp")

    @settings(SOME)
    @given(st.binary(max_size=400), st.sampled_from(["operator", "predictor", ""]))
    def sent(body: bytes, who: str) -> None:
        head = headers(caller.hub.credential(who) if who else "x", "get_status")
        answer = caller._http.post(f"{root}{path}", content=body, headers=head)
        assert 400 <= answer.status_code < 500
        assert leaks(answer.text, caller.hub.secrets(), str(caller.hub.state)) == []

    sent()


def test_text_of_the_log_holds_no_message_that_was_sent(hub: HubProcess) -> None:
    assert re.search(r"x{1000}", hub.log.read_text()) is None


def test_the_state_is_as_it_was(hub: HubProcess) -> None:
    """What was refused left nothing: the journal holds, from its first entry to its last."""

    async def verified() -> int:
        journal = await open_journal(hub.state / "hub" / "journal.db", RunClock.live())
        try:
            return (await journal.verify()).sequence
        finally:
            await journal.close()

    assert hub.stop() == 0
    assert asyncio.run(verified()) > 0
    assert hub.start()
