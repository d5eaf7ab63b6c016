"""The resources: what a client may read by URI and watch, and where each is read from."""

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import mcp_types as types

from relentless.proto.contexts import Topic
from relentless.proto.errors import InvalidInput, NotFound
from relentless.store.ports import Principal
from relentless.tools.context import UNTRUSTED, answer
from relentless.tools.ports import Agents, Contexts, Exchange, Signals

DAILY: Final = "context://daily"
AGENTS: Final = "agents://"
SIGNALS: Final = "signals://latest"
SYMBOLS: Final = "symbols://"
AUDIT: Final = "audit://log"
JSON: Final = "application/json"

LISTED: Final = tuple(
    types.Resource(uri=uri, name=name, description=description, mime_type=JSON)
    for uri, name, description in (
        (DAILY, "daily context", "The newest daily context, whole"),
        (AGENTS, "agents", "Every agent: topics, schedule, last run, whether it is alive"),
        (SIGNALS, "signals", "The newest signals of the feed"),
        (SYMBOLS, "symbols", "Every symbol and its number in the signal frame"),
    )
)
TEMPLATES: Final = tuple(
    types.ResourceTemplate(uri_template=uri, name=name, description=description, mime_type=JSON)
    for uri, name, description in (
        ("context://topic/{topic}{?after,limit}", "topic", "Messages of one topic, in order"),
        ("context://inbox/{agent}{?after,limit}", "inbox", "Messages addressed to you"),
        ("context://daily/{date}", "daily context of a date", "The last one built for it"),
        (
            f"{AUDIT}{{?after,limit}}",
            "audit",
            "For operators: who wrote and who was refused; without after the newest",
        ),
    )
)


class AuditPage(Protocol):
    """Gives a page of the audit."""

    async def __call__(self, *, after: int | None, limit: int) -> dict[str, Any]:
        """Give entries after a sequence number, by default the newest."""
        ...


def topic_uri(topic: Topic) -> str:
    """Give the URI to watch for a topic."""
    return f"context://topic/{topic}"


def inbox_uri(agent: str) -> str:
    """Give the URI to watch for an agent's inbox."""
    return f"context://inbox/{agent}"


class Resources:
    """Reads a resource. Whether the caller may is the gate's business."""

    def __init__(
        self,
        exchange: Exchange,
        contexts: Contexts,
        agents: Agents,
        signals: Signals,
        symbols: Callable[[], Mapping[str, int]],
        audit: AuditPage,
    ) -> None:
        self._exchange = exchange
        self._contexts = contexts
        self._agents = agents
        self._signals = signals
        self._symbols = symbols
        self._audit = audit

    async def read(self, caller: Principal, uri: str) -> str:
        """Give a resource as JSON text.

        Raises:
            NotFound: nothing is served there.
            InvalidInput: a query that cannot be read.
        """
        parts = urlsplit(uri)
        name = parts.path.strip("/")
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if parts.scheme == "context":
            said = await self._context(caller, parts.netloc, name, query)
        elif uri.partition("?")[0] == AUDIT:
            after, limit = _number(query, "after", 0, 2**63 - 1), _number(query, "limit", 1, 500)
            said = await self._audit(after=after, limit=limit or 50)
        elif uri == AGENTS:
            said = {"agents": [view.model_dump(mode="json") for view in self._agents.agents()]}
        elif uri == SIGNALS:
            page = self._signals.page(after=0, limit=50, symbol=None)
            said = page.model_dump(mode="json")
        elif uri == SYMBOLS:
            said = {"symbols": dict(self._symbols())}
        else:
            raise NotFound(f"nothing is served at {uri}")
        return json.dumps(said, separators=(",", ":"))

    async def _context(
        self, caller: Principal, kind: str, name: str, query: Mapping[str, str]
    ) -> dict[str, Any]:
        if kind == "daily":
            context = await self._contexts.get(_date(name) if name else None, None)
            return answer(context, ["*"]).model_dump(mode="json")
        if kind not in ("topic", "inbox"):
            raise NotFound(f"nothing is served at context://{kind}")
        page = await self._exchange.read(
            caller,
            topic=_topic(name) if kind == "topic" else None,
            inbox=kind == "inbox",
            after=_number(query, "after", 0, 2**63 - 1),
            limit=_number(query, "limit", 1, 500) or 50,
        )
        return {"trust": UNTRUSTED, **page.model_dump(mode="json")}


def _topic(name: str) -> Topic:
    try:
        return Topic(name)
    except ValueError as error:
        raise NotFound(f"no topic {name!r}; there are {', '.join(Topic)}") from error


def _date(name: str) -> date:
    try:
        return date.fromisoformat(name)
    except ValueError as error:
        raise InvalidInput(f"{name!r} is no date; write YYYY-MM-DD") from error


def _number(query: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    if name not in query:
        return None
    if not query[name].isascii() or not query[name].isdigit():
        raise InvalidInput(f"{name} is a whole number")
    return min(max(int(query[name][:20]), low), high)
