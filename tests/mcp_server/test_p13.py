"""P13: a credential does only its own job. Every operation of every listener, every credential.

What is expected comes from the one table in ``tools/access.py``, never from here.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.inference import ModelInference
from relentless.proto.errors import ModelUnavailable
from relentless.store.keys import LOCAL_ROLES, KeyRing, keys_path
from relentless.store.ports import Role
from relentless.tools.access import ACCESS, GRPC_SERVICES, RESOURCES

from .helpers import Served, serving, settings_for
from .issuer import AUDIENCE, ISSUER, Issuer, key_set
from .operations import OWNER, Listeners, Operation, listeners, operations

pytestmark = [
    pytest.mark.promise("P13"),
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),
]
TOKEN = "token"
HOLDERS = (OWNER, "FredAgent", "TradingAgent", "reader", "operator", "predictor")


@pytest.fixture
async def served(
    settings: Settings, clock: ManualClock, issuer: Issuer, tmp_path: Path
) -> AsyncIterator[Served]:
    """A hub that takes access tokens beside its keys."""
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(issuer))
    oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": file}
    async with serving(settings_for(settings.paths.state, oauth=oauth), clock) as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def credentials(served: Served, issuer: Issuer) -> dict[str, tuple[str | None, Role | None]]:
    """Give every kind of credential, and the role that it carries; None where it is no good."""
    ring = KeyRing(keys_path(served.state))
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = ring.create("old", Role.OPERATOR, expires=past)
    revoked = ring.create("gone", Role.OPERATOR)
    ring.revoke(revoked.partition(".")[0])
    operator = served.credential("operator")
    refused = {
        "none": None,
        "malformed": "no-key-at-all",
        "unknown": f"{'0' * 16}.{'A' * 43}",
        "another's secret": operator.partition(".")[0] + ".wrong",
        "without its secret": operator.partition(".")[0],
        "expired": expired,
        "revoked": revoked,
        "token for another audience": issuer.token("relentless.operate", aud="https://x.example"),
        "token of another issuer": issuer.token("relentless.operate", iss="https://x.example"),
        "expired token": issuer.token("relentless.operate", exp=1_000),
        "token of another key": Issuer().token("relentless.operate"),
    }
    accepted = {
        f"{TOKEN} reading": (issuer.token("relentless.read"), Role.READER),
        f"{TOKEN} operating": (issuer.token("relentless.operate"), Role.OPERATOR),
        f"{TOKEN} publishing": (issuer.token("relentless.publish:news", sub="Desk"), Role.AGENT),
    }
    keys = {name: (served.credential(name), LOCAL_ROLES[name]) for name in HOLDERS}
    return {**{name: (value, None) for name, value in refused.items()}, **keys, **accepted}


async def mismatches(
    served: Served, issuer: Issuer, chosen: list[Operation]
) -> list[tuple[str, str, str, str]]:
    """Try every operation with every credential; give what went another way than the table."""
    wrong = []
    seen: Counter[str] = Counter()
    everyone = credentials(served, issuer)

    async def try_all(at: Listeners, name: str) -> None:
        credential, role = everyone[name]
        for operation in chosen:
            known = None if name.startswith(TOKEN) and not operation.takes_tokens else role
            wanted = operation.expected(known, name)
            found = await operation.attempt(at, credential)
            seen[found] += 1
            if found != wanted:
                wrong.append((operation.name, name, wanted, found))

    async with listeners(served) as at:
        await asyncio.gather(*(try_all(at, name) for name in everyone))
    assert seen.total() == len(chosen) * len(everyone)
    return wrong


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*_: object) -> None:
        raise ModelUnavailable("not here")

    monkeypatch.setattr(ModelInference, "predict", unavailable)


def test_the_operations_cover_the_whole_table() -> None:
    names = [operation.name for operation in operations()]
    assert len(names) == len(set(names))
    for tool in ACCESS:
        assert f"tool {tool}" in names
    for start in RESOURCES:
        for way in ("read", "subscribe", "listen"):
            assert any(name.startswith(f"{way} {start}") for name in names), start
    for service in GRPC_SERVICES:
        assert any(name.startswith(f"gRPC /{service}/") for name in names)


async def test_every_operation_for_every_credential(served: Served, issuer: Issuer) -> None:
    assert await mismatches(served, issuer, operations()) == []


@pytest.mark.parametrize(
    ("check", "kind"), [("permit", "tool"), ("permit_resource", "read"), ("permit_route", "POST")]
)
async def test_a_check_that_lets_everybody_through_is_noticed(
    served: Served, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, check: str, kind: str
) -> None:
    monkeypatch.setattr(f"relentless.mcp_server.auth.{check}", lambda *_: None)
    chosen = [operation for operation in operations() if operation.name.startswith(kind)]
    wrong = await mismatches(served, issuer, chosen)
    assert wrong
    assert {(wanted, found) for *_, wanted, found in wrong} == {("forbidden", "allowed")}
