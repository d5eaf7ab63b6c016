"""A new agent is one new file; a broken one is left out and stops no other."""

import sys
from importlib.metadata import EntryPoint

import pytest

from relentless.agents import registry
from relentless.agents.registry import check, discover, find
from relentless.proto.contexts import AGENT_TOPICS
from relentless.proto.errors import InvalidSettings, NotFound

GOOD = """
from relentless.agents.base import Agent, Collected
from relentless.proto.contexts import Topic

class {name}(Agent):
    name = "{name}"
    command = "{command}"
    topic = Topic.NOTE
    schedule = ("05:00",)

    async def collect(self, run):
        return Collected()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Give a package folder that can be imported, and its name."""
    name = f"made_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield name, folder
    for module in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[module]


def test_the_shipped_agents_are_found_with_their_topics():
    found = {agent.name: agent for agent in discover()}
    assert "FredAgent" in found
    for name, agent in found.items():
        assert AGENT_TOPICS.get(name, agent.topic) == agent.topic


def test_an_agent_is_found_by_name_and_by_command():
    assert find("fred") is find("FredAgent")
    with pytest.raises(NotFound, match="fred"):
        find("nobody")


def test_one_new_file_is_a_new_agent(package):
    name, folder = package
    (folder / "weather.py").write_text(GOOD.format(name="WeatherAgent", command="weather"))
    assert [agent.name for agent in discover(name)] == ["WeatherAgent"]


def test_a_sub_package_is_an_agent_too(package):
    name, folder = package
    (folder / "tides").mkdir()
    (folder / "tides" / "work.py").write_text(GOOD.format(name="TidesAgent", command="tides"))
    (folder / "tides" / "__init__.py").write_text(f"from {name}.tides.work import TidesAgent\n")
    assert [agent.name for agent in discover(name)] == ["TidesAgent"]


def test_a_broken_file_is_left_out_and_the_rest_is_found(package):
    name, folder = package
    (folder / "a_broken.py").write_text("raise RuntimeError('no')")
    (folder / "b_syntax.py").write_text("def (")
    (folder / "c_exit.py").write_text(
        GOOD.format(name="Ok", command="ok").replace('"05:00"', '"x"')
    )
    (folder / "good.py").write_text(GOOD.format(name="GoodAgent", command="good"))
    (folder / "twice.py").write_text(GOOD.format(name="GoodAgent", command="other"))
    (folder / "_private.py").write_text(GOOD.format(name="Private", command="private"))
    assert [agent.name for agent in discover(name)] == ["GoodAgent"]


def test_another_distribution_brings_an_agent_by_entry_point(package, monkeypatch):
    name, folder = package
    (folder / "far.py").write_text(GOOD.format(name="FarAgent", command="far"))
    points = [
        EntryPoint("far", f"{name}.far:FarAgent", registry.PACKAGE),
        EntryPoint("gone", f"{name}.gone:Gone", registry.PACKAGE),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert "FarAgent" in [agent.name for agent in discover()]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "9 lives"},
        {"command": ""},
        {"topic": "signal"},
        {"topic": "nothing"},
        {"schedule": ("soon",)},
    ],
    ids=str,
)
def test_an_agent_that_breaks_the_contract_is_refused(change):
    fred = find("fred")
    with pytest.raises(InvalidSettings):
        check(type("Broken", (fred,), change))


def test_what_is_no_agent_is_refused():
    for odd in (int, 3, registry.Agent):
        with pytest.raises(InvalidSettings):
            check(odd)
