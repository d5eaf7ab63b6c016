"""Which agents there are: those in this folder, and those that other distributions bring.

Nothing lists them. Every module or sub-package here that is not part of the house is imported, and
each concrete subclass of ``Agent`` that it defines is one; an entry point in the group
``relentless.agents`` names one elsewhere. One that cannot be loaded is logged and left out: it
stops no other.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from relentless.agents.base import Agent
from relentless.agents.runtime.schedule import Schedule
from relentless.proto.base import Name
from relentless.proto.contexts import HUB_TOPICS, Topic
from relentless.proto.errors import InvalidSettings, NotFound

PACKAGE: Final = "relentless.agents"
HOUSE: Final = frozenset(
    {"base", "blotter", "edgar", "http", "registry", "runner", "runtime", "trading"}
)
"""Modules here that hold no data agent."""

_log = structlog.get_logger()
_name: TypeAdapter[str] = TypeAdapter(Name)


def discover(package: str = PACKAGE) -> list[type[Agent]]:
    """Give every agent class, by name. Of two with one name or command the first is kept."""
    found: dict[str, type[Agent]] = {}
    taken: set[str] = set()
    for where, candidate in [*_in_package(package), *_in_entry_points()]:
        try:
            agent = check(candidate)
        except Exception as error:
            _log.error("agent_left_out", where=where, error=str(error))
            continue
        if found.get(agent.name) is agent:
            continue
        if agent.name in found or agent.command in taken:
            _log.error("agent_left_out", where=where, error=f"{agent.name} is there already")
            continue
        found[agent.name] = agent
        taken.add(agent.command)
    return [found[name] for name in sorted(found)]


def find(name: str, package: str = PACKAGE) -> type[Agent]:
    """Give an agent class by its name or its command.

    Raises:
        NotFound: there is none; the message lists those that there are.
    """
    agents = discover(package)
    for agent in agents:
        if name in (agent.name, agent.command):
            return agent
    known = ", ".join(agent.command for agent in agents) or "none"
    raise NotFound(f"no agent {name!r}; there are: {known}")


def check(candidate: Any) -> type[Agent]:
    """Give the class back if it is a whole agent.

    Raises:
        InvalidSettings: something is missing or wrong in it.
    """
    if not (inspect.isclass(candidate) and issubclass(candidate, Agent)):
        raise InvalidSettings(f"{candidate!r} is not a subclass of Agent")
    absent = [a for a in ("name", "command", "topic", "schedule") if not hasattr(candidate, a)]
    if absent or inspect.isabstract(candidate):
        lacking = ", ".join(absent) or "collect()"
        raise InvalidSettings(f"{candidate.__name__} does not set {lacking}")
    try:
        _name.validate_python(candidate.name)
        _name.validate_python(candidate.command)
        topic = Topic(candidate.topic)
    except ValueError as error:
        raise InvalidSettings(f"{candidate.__name__}: {error}") from error
    if topic in HUB_TOPICS:
        raise InvalidSettings(f"{candidate.__name__}: the topic {topic} is the hub's alone")
    Schedule(candidate.schedule)
    return candidate


def _in_package(package: str) -> Iterator[tuple[str, Any]]:
    """Give the concrete agent classes that the package's modules define themselves."""
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        where = f"{package}.{info.name}"
        if info.name in HOUSE or info.name.startswith("_"):
            continue
        try:
            module = importlib.import_module(where)
        except Exception as error:
            _log.error("agent_left_out", where=where, error=f"{type(error).__name__}: {error}")
            continue
        yield from ((where, agent) for agent in _defined(module))


def _defined(module: ModuleType) -> list[type[Agent]]:
    own = (module.__name__, module.__name__ + ".")
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Agent)
        and not inspect.isabstract(value)
        and (value.__module__ == own[0] or value.__module__.startswith(own[1]))
    ]


def _in_entry_points() -> Iterator[tuple[str, Any]]:
    for point in entry_points(group=PACKAGE):
        try:
            yield point.value, point.load()
        except Exception as error:
            _log.error("agent_left_out", where=point.value, error=str(error))
