"""Which resources a tool's answer came from, and which of them an answer cites. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

LINK: Final = re.compile(r"\[([^\]\n]{1,200})\]\(((?:context|agents|signals|symbols)://[^)\s]*)\)")


def served_by(
    tool: str, arguments: Mapping[str, Any], answer: Mapping[str, Any]
) -> tuple[str, ...]:
    """Give the URIs of the resources that hold what a tool answered; () for none."""
    match tool:
        case "get_daily_context" | "build_daily_context":
            context = answer.get("context")
            day = context.get("trading_date") if isinstance(context, Mapping) else None
            newest = not (arguments.get("date") or arguments.get("as_of"))
            dated = (f"context://daily/{day}",) if day else ()
            return ("context://daily", *dated) if newest else dated
        case "read_messages":
            topic = arguments.get("topic")
            return (f"context://topic/{topic}",) if topic else ()
        case "list_agents":
            return ("agents://",)
        case "get_signals":
            return ("signals://latest",)
        case _:
            return ()


def cited(text: str) -> tuple[tuple[str, str], ...]:
    """Give (words, URI) of each resource link of an answer, in order, each URI once."""
    seen: dict[str, str] = {}
    for words, uri in LINK.findall(text):
        seen.setdefault(uri, words)
    return tuple((words, uri) for uri, words in seen.items())


def unread(links: Iterable[tuple[str, str]], served: Iterable[str]) -> tuple[str, ...]:
    """Give the cited URIs that no tool answered from: a source that was not read."""
    known = set(served)
    return tuple(uri for _, uri in links if uri.partition("?")[0] not in known)
