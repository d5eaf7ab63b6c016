"""The one table of who may call what: complete, and the same in the documents."""

import re
from pathlib import Path

import pytest

from relentless.proto.errors import Forbidden
from relentless.store.ports import Principal, Role
from relentless.tools.access import (
    ACCESS,
    COMPLETIONS,
    FEED,
    GRPC_SERVICES,
    RESOURCES,
    ROUTES,
    permit,
    permit_resource,
)
from relentless.tools.agents import AgentTools
from relentless.tools.context import ContextTools
from relentless.tools.inference import InferenceTools
from relentless.tools.operators import OperatorTools

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hub.md"
FAMILIES = (AgentTools, ContextTools, InferenceTools, OperatorTools)


def somebody(role: Role, name: str = "FredAgent") -> Principal:
    return Principal(name, role, "key", frozenset())


def test_the_document_shows_the_table_that_is_enforced() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \|", DOCUMENT.read_text(), re.M)
    shown = {tool: sorted(roles.split(", ")) for tool, roles in rows}
    assert shown == {tool: sorted(access.roles) for tool, access in ACCESS.items()}
    assert [tool for tool, _ in rows] == list(ACCESS)


def test_the_document_shows_who_may_read_what() -> None:
    rows = re.findall(r"^\| (`[a-z]+://.*?) \| ([a-z, ]+) \|", DOCUMENT.read_text(), re.M)
    for start, roles in RESOURCES.items():
        shown = [said for uris, said in rows if f"`{start}" in uris]
        own = "its own agent" if start == "context://inbox/" else _words(roles)
        assert shown == [own], start


def test_the_document_shows_every_other_line_of_the_table() -> None:
    section = DOCUMENT.read_text().partition("## Who may do what")[2].partition("\n##")[0]
    shown = dict(re.findall(r"^\| (?!what|---)(.+?) \| (.+?) \|$", section, re.M))
    lines: dict[str, frozenset[Role] | None] = {
        "any other protocol method (lists, prompts, `server/discover`)": frozenset(Role),
        **{f"completion of `{name}`": RESOURCES[uri] for name, uri in COMPLETIONS.items()},
        **{f"`{route}`": roles for route, roles in ROUTES.items()},
        **{f"gRPC `{service}`": roles for service, roles in GRPC_SERVICES.items()},
        "the signal feed's login": FEED,
    }
    anybody = "anybody, without a credential"
    assert shown == {
        name: anybody if roles is None else ", ".join(sorted(roles))
        for name, roles in lines.items()
    }


def _words(roles: frozenset[Role]) -> str:
    return "everybody" if roles == frozenset(Role) else ", ".join(sorted(roles))


def test_every_tool_of_every_family_is_in_the_table() -> None:
    tools = [name for family in FAMILIES for name in vars(family) if not name.startswith("_")]
    assert sorted(tools) == sorted(ACCESS)


@pytest.mark.parametrize("tool", ACCESS)
def test_a_role_outside_the_table_is_refused_by_name(tool: str) -> None:
    for role in Role:
        if role in ACCESS[tool].roles:
            permit(somebody(role), tool)
        else:
            with pytest.raises(Forbidden, match=role.value):
                permit(somebody(role), tool)


@pytest.mark.parametrize(
    "uri",
    [
        "context://inbox/TradingAgent",
        "context://inbox/FredAgentX",
        "context://inbox/fredagent",
        "context://inbox/FredAgent/../TradingAgent",
        "context://inbox/",
        "file:///etc/passwd",
        "",
        "CONTEXT://inbox/TradingAgent",
    ],
)
def test_no_address_leads_to_anothers_inbox(uri: str) -> None:
    with pytest.raises(Forbidden):
        permit_resource(somebody(Role.AGENT), uri)


def test_an_agent_reads_its_own_inbox_with_or_without_a_query() -> None:
    for uri in ("context://inbox/FredAgent", "context://inbox/FredAgent?after=5&limit=1"):
        permit_resource(somebody(Role.AGENT), uri)
