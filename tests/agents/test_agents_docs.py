"""The pages about agents: the example is run, the tables are compared with the code."""

import re
from pathlib import Path

import pytest

from relentless.agents.base import Agent
from relentless.agents.http import Policy
from relentless.agents.registry import check, discover
from relentless.configs.releases import SERIES

PAGES = Path(__file__).resolve().parents[2] / "docs" / "agents"


@pytest.fixture(scope="module")
def readme():
    return (PAGES / "README.md").read_text()


async def test_the_example_agent_works_as_it_stands(readme, make_run):
    (source,) = re.findall(r"```python\n(.*?)```", readme, flags=re.S)
    space = {}
    exec(compile(source, "README.md", "exec"), space)
    (kind,) = [
        v for v in space.values() if isinstance(v, type) and issubclass(v, Agent) and v is not Agent
    ]
    run = await make_run(lambda request: None, "2013-10-07 09:30")
    collected = await check(kind)().collect(run)
    assert [m.context for m in collected.messages] == [{"day": "2013-10-07", "session": True}]


def test_the_table_of_agents_is_the_registry(readme):
    for agent in discover():
        times = ", ".join(agent.schedule)
        assert f"| {agent.name} | `{agent.command}` | `{agent.topic}` | {times} |" in readme


def test_the_bounds_that_the_page_states_hold(readme):
    policy = Policy()
    assert f"at most {policy.attempts} tries in {policy.budget_s:g} s" in readme
    assert f"{policy.breaker_failures} calls in a row" in readme
    assert f"not asked for {policy.breaker_open_s:g} s" in readme
    assert f"at most {policy.max_bytes // 2**20} MiB" in readme


def test_the_page_names_every_series():
    page = (PAGES / "fred.md").read_text()
    assert not [name for name in SERIES if name not in page]
