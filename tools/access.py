"""Which role may do what, and what kind of tool each is: the one table.

The hub enforces it, lists it to clients as annotations, and ``docs/hub.md`` is checked against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relentless.proto.errors import Forbidden
from relentless.store.ports import SIGNAL_READERS, Principal, Role


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a tool, and what a client may assume of it."""

    title: str
    roles: frozenset[Role]
    reads_only: bool = False
    idempotent: bool = False
    destructive: bool = False


_WRITERS = frozenset({Role.AGENT, Role.TRADER})
_PEOPLE = frozenset({Role.READER, Role.OPERATOR})
_CONSUMERS = SIGNAL_READERS
_READERS = _PEOPLE | _WRITERS
_ALL = frozenset(Role)

ACCESS: Final[Mapping[str, Access]] = {
    "register_agent": Access("Register or renew an agent", _WRITERS, idempotent=True),
    "publish_context": Access("Publish context messages", _WRITERS, idempotent=True),
    "read_messages": Access("Read a topic or an inbox", _READERS, reads_only=True),
    "ack_messages": Access("Acknowledge messages", _WRITERS, idempotent=True),
    "get_daily_context": Access("Get the daily context", _ALL, reads_only=True),
    "build_daily_context": Access("Build a daily context", frozenset({Role.OPERATOR})),
    "predict_signal": Access("Ask the model about one tick", _CONSUMERS, reads_only=True),
    "get_signals": Access("Get the newest signals", _CONSUMERS, reads_only=True),
    "explain_signal": Access("Explain a signal", _CONSUMERS, reads_only=True),
    "list_agents": Access("List the agents", _READERS, reads_only=True),
    "run_agent": Access("Ask an agent to run", frozenset({Role.OPERATOR}), idempotent=True),
    "get_status": Access("Get the state of the system", _ALL, reads_only=True),
    "manage_model": Access(
        "Promote or roll back a model", frozenset({Role.OPERATOR}), destructive=True
    ),
    "set_trading_halt": Access(
        "Halt or resume trading", frozenset({Role.OPERATOR}), idempotent=True, destructive=True
    ),
}
"""Every tool, in the order in which it is listed."""

RESOURCES: Final[Mapping[str, frozenset[Role]]] = {
    "context://topic/": _READERS,
    "context://inbox/": _WRITERS,
    "context://daily": _ALL,
    "agents://": _READERS,
    "signals://": _CONSUMERS,
    "symbols://": _ALL,
    "audit://": frozenset({Role.OPERATOR}),
    "ui://relentless/board": _ALL,
}
"""Every resource by the start of its URI. An inbox is its owner's alone."""


COMPLETIONS: Final[Mapping[str, str]] = {
    "symbol": "symbols://",
    "agent": "agents://",
    "date": "context://daily",
    "topic": "context://daily",
}
"""Arguments that can be completed, and the resource whose readers may ask."""

HEALTH: Final = "GET /health"
METADATA: Final = "GET /.well-known/oauth-protected-resource/mcp"
"""Where access tokens are accepted; its end is the path of their audience."""
LEASE: Final = "POST /control/lease"
ROUTES: Final[Mapping[str, frozenset[Role] | None]] = {
    HEALTH: None,
    METADATA: None,
    LEASE: frozenset({Role.PREDICTOR}),
}
"""The hub's own routes beside ``/mcp``; None asks for no credential."""

METHODS: Final = (
    "server/discover",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
    "prompts/get",
)
"""Protocol methods that any accepted credential may call: what they answer holds no data."""

GRPC_SERVICES: Final[Mapping[str, frozenset[Role] | None]] = {
    "relentless.v1.FinancialPredictor": SIGNAL_READERS,
    "grpc.reflection.v1alpha.ServerReflection": SIGNAL_READERS,
    "grpc.health.v1.Health": None,
}
"""The predictor's gRPC services; None asks for no credential."""

FEED: Final = SIGNAL_READERS
"""The signal feed's login."""


def permit(caller: Principal, tool: str) -> None:
    """Let a caller use a tool.

    Raises:
        Forbidden: the caller's role may not.
    """
    allowed = ACCESS[tool].roles
    if caller.role not in allowed:
        names = ", ".join(sorted(role.value for role in allowed))
        raise Forbidden(
            f"{tool} needs a key of role {names}; {caller.name}'s is of role {caller.role.value}"
        )


def permit_resource(caller: Principal, uri: str) -> None:
    """Let a caller read or watch a resource.

    Raises:
        Forbidden: the caller's role may not, it is another's inbox, or nothing like it is served.
    """
    for start, allowed in RESOURCES.items():
        if uri.startswith(start):
            if caller.role not in allowed:
                raise Forbidden(f"a key of role {caller.role.value} may not read {uri}")
            owner = uri.removeprefix("context://inbox/").partition("?")[0]
            if start == "context://inbox/" and owner != caller.name:
                raise Forbidden("an inbox is read by its own agent alone")
            return
    raise Forbidden(f"no resource is served at {uri}; resources/templates/list shows them")


def permit_route(caller: Principal, route: str) -> None:
    """Let a caller use a route.

    Raises:
        Forbidden: the caller's role may not.
    """
    allowed = ROUTES[route]
    if allowed is not None and caller.role not in allowed:
        names = ", ".join(sorted(role.value for role in allowed))
        raise Forbidden(f"{route} needs a key of role {names}")
