"""Hostile requests: valid calls of every tool, broken in one place, in both protocol eras."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from hypothesis import strategies as st

from .helpers import news
from .operations import META, VERSION

LEGACY: Final = "2025-11-25"
RUN = {"scheduled_at": "2013-10-07T09:15:00Z", "finished_at": "2013-10-07T09:16:00Z"}
VALID: Final[Mapping[str, dict[str, Any]]] = {
    "register_agent": {
        "name": "NewsAnalysisAgent",
        "topics": ["news"],
        "schedule": ["05:15"],
        "last_run": {**RUN, "status": "ok", "messages": 1, "gaps": ["a"], "error": "none"},
    },
    "publish_context": {"message": news(topic="news")},
    "read_messages": {"topic": "news", "after": 0, "limit": 2, "wait_s": 0.0, "inbox": False},
    "ack_messages": {"up_to": 0},
    "get_daily_context": {
        "date": "2013-10-07",
        "fields": ["*"],
        "as_of": "2013-10-07T09:00:00Z",
    },
    "build_daily_context": {"as_of": "2013-10-07T09:00:00Z"},
    "predict_signal": {"symbol": "SPY", "price": 168.0, "bid": 1.0, "ask": 2.0, "history": [1.0]},
    "get_signals": {"after": 0, "limit": 2, "symbol": "SPY"},
    "explain_signal": {"symbol": "SPY", "sequence": 1, "session": "x", "fields": ["frame"]},
    "list_agents": {},
    "run_agent": {"agent": "FredAgent", "wait_s": 0.0},
    "get_status": {},
    "manage_model": {"action": "status", "reason": "fuzz", "version": None, "share": None},
    "set_trading_halt": {"halted": True, "reason": "fuzz"},
}
"""Arguments of every tool that it takes, as far as the tool's state allows."""

CALLERS: Final = ("operator", "NewsAnalysisAgent")
"""Between them they may call every tool."""


class Raw(str):
    """JSON text to be written as it is."""


def nested(depth: int) -> Raw:
    """Give a list in a list in a list."""
    return Raw("[" * depth + "]" * depth)


HOSTILE: Final[Sequence[Any]] = (
    None,
    True,
    "",
    "x" * 70_000,
    "\0",
    Raw('"\\ud800"'),
    Raw('"\\udfff\\ud800"'),
    "‮￾",
    "../../etc/passwd",
    "1" * 400,
    "[" * 1_000,
    '{"a": NaN}',
    -1,
    0,
    2**31,
    2**63,
    -(2**63) - 1,
    Raw("1" * 5_000),
    Raw("-0.0"),
    Raw("1e400"),
    Raw("-1e400"),
    Raw("1e-400"),
    Raw("NaN"),
    Raw("Infinity"),
    Raw("-Infinity"),
    [],
    {},
    [None] * 1_000,
    {"": {"": {"": ""}}},
    {str(n): n for n in range(1_000)},
    nested(200),
    nested(5_000),
    Raw('{"a":1,"a":2}'),
)
VALUES: Final = st.sampled_from(HOSTILE) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(st.characters(codec=None), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)
"""JSON values, and texts that only look like some."""


def write(value: Any) -> str:
    """Give a value as JSON text, with what no encoder would write."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{write(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value)


def paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give the way to every value within a value, the whole among them."""
    yield at
    if isinstance(value, dict):
        inner: Iterable[tuple[str | int, Any]] = value.items()
    else:
        inner = enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from paths(child, (*at, key))


def put(value: Any, at: Sequence[str | int], new: Any) -> Any:
    """Give a value with another one at a place in it."""
    if not at:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = put(copy[at[0]], at[1:], new)
    return copy


def twice(text: str, chance: random.Random) -> str:
    """Give an object's JSON text with one of its keys a second time."""
    key = chance.choice(["jsonrpc", "id", "method", "params"])
    return f'{{"{key}":{chance.choice(["null", "7", "[]"])},{text[1:]}'


def request(tool: str, arguments: Any, *, modern: bool, number: Any = 1) -> dict[str, Any]:
    """Give a tool call of an era."""
    params = {"name": tool, "arguments": arguments, **({"_meta": META} if modern else {})}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def headers(key: str, tool: str | None, *, session: str | None = None) -> dict[str, str]:
    """Give the headers of a request: with a session of the older era, else of the newer one."""
    given = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "authorization": f"Bearer {key}",
    }
    if session is not None:
        return given | {"mcp-session-id": session, "mcp-protocol-version": LEGACY}
    named = {} if tool is None else {"mcp-name": tool}
    return given | {"mcp-protocol-version": VERSION, "mcp-method": "tools/call", **named}


def said(body: str) -> Any:
    """Give what an answer's body holds: JSON, or the last event of a stream."""
    if body.startswith(("event:", "id:", "data:", ":")):
        lines = [line[5:] for line in body.split("\n") if line.startswith("data:")]
        body = next(line for line in reversed(lines) if line.strip())
    return json.loads(body)


def leaks(text: str, secrets: Sequence[str], folder: str) -> list[str]:
    """Give what an answer tells that is nobody's business."""
    marks = ("Traceback", 'File "', ".py", "site-packages", "pydantic", folder, *secrets)
    return [mark for mark in marks if mark in text]
