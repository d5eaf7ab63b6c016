"""The one table of who may call what: complete, and the same in the documents."""

import re
from pathlib import Path

import pytest

from relentless.proto.errors import Forbidden
from relentless.store.ports import Principal, Role
from relentless.tools.access import ACCESS, permit, permit_resource
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
