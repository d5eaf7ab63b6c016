"""The tools as MCP sees them: listed from their signatures, checked, called, answered.

A tool is a method of a family in ``tools/`` whose first parameter is the caller. Arguments are
validated once by a model made from the signature; an error becomes a short text that says what to
do, and an object with its stable code.
"""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from relentless.mcp_server import apps
from relentless.mcp_server.audit import acting
from relentless.mcp_server.auth import Gate
from relentless.mcp_server.refusals import brief
from relentless.mcp_server.schemas import compact_input, compact_output
from relentless.proto.base import explain
from relentless.proto.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    RelentlessError,
)
from relentless.store.ports import Principal
from relentless.tools import icons
from relentless.tools.access import ACCESS, Access
from relentless.tools.links import Link, Linked
from relentless.tools.ports import Progress

log = structlog.get_logger()
MAX_LISTED: Final = 15


class Arguments(BaseModel):
    """Base of every tool's argument model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: how it is listed, and how it is called."""

    listing: types.Tool
    arguments: type[Arguments]
    call: Callable[..., Awaitable[BaseModel]]
    tells: bool
    """It says how far it has come."""
    linked: bool
    """Its answer points to resources; asked once, because asking an answer takes as long as
    validating a message."""

    def parse(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validate arguments; objects and lists may come as JSON text, as some hosts send them.

        Raises:
            InvalidInput: with one short line per wrong argument.
        """
        try:
            parsed = self.arguments.model_validate(given)
        except ValidationError as error:
            unquoted = {name: _unquoted(value) for name, value in given.items()}
            if unquoted == given:
                raise InvalidInput(explain(error)) from error
            try:
                parsed = self.arguments.model_validate(unquoted)
            except ValidationError as again:
                raise InvalidInput(explain(again)) from again
        return {name: getattr(parsed, name) for name in type(parsed).model_fields}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered."""

    text: str
    """For a model to read."""
    structured: str
    """The same for a program, as JSON; for an error its code and message."""
    is_error: bool = False
    links: Sequence[Link] = ()


async def silent(done: float, total: float, message: str) -> None:
    """Tell nobody how far a tool has come."""


class Toolbox:
    """Every tool of some families, behind the gate."""

    def __init__(self, families: Sequence[object], gate: Gate) -> None:
        self._gate = gate
        self._tools = {name: _tool(name, families) for name in ACCESS}

    def listing(self) -> list[types.Tool]:
        """Give the tools as ``tools/list`` answers them, always in the same order."""
        return [tool.listing for tool in self._tools.values()]

    def input_schema(self, name: str) -> dict[str, Any] | None:
        """Give a tool's input schema."""
        tool = self._tools.get(name)
        return None if tool is None else tool.listing.input_schema

    async def call(
        self, name: str, given: Mapping[str, Any], progress: Progress = silent
    ) -> types.CallToolResult:
        """Call a tool for the SDK's handler."""
        answer = await self.answer(name, given, progress=progress)
        return types.CallToolResult(
            content=[types.TextContent(text=answer.text), *map(resource_link, answer.links)],
            structured_content=json.loads(answer.structured),
            is_error=answer.is_error,
        )

    async def answer(
        self,
        name: str,
        given: Mapping[str, Any],
        caller: Principal | None = None,
        progress: Progress = silent,
    ) -> Answer:
        """Call a tool; an error is an answer, and says what to do next.

        ``caller`` is who was verified already; else the gate finds out.
        """
        try:
            tool = self._tools.get(name)
            if tool is None:
                raise NotFound(f"no tool {name!r}; there are {', '.join(self._tools)}")
            caller = self._gate.tool(name, caller, given)
            said = await self._run(name, tool, caller, given, progress)
            text = said.model_dump_json()
            links = said.links() if tool.linked and isinstance(said, Linked) else ()
            return Answer(text, text, links=links)
        except RelentlessError as error:
            return failed(error)
        except Exception:
            log.exception("tool failed", tool=name)
            return failed(RelentlessError(f"{name} failed inside the hub; its log says why"))

    async def _run(
        self,
        name: str,
        tool: Tool,
        caller: Principal,
        given: Mapping[str, Any],
        progress: Progress,
    ) -> BaseModel:
        """Call a tool, with what it writes or may not write audited."""
        parsed = tool.parse(given)
        if tool.tells:
            parsed["progress"] = progress
        try:
            if ACCESS[name].reads_only:
                return await tool.call(caller, **parsed)
            with acting(caller, name):
                return await tool.call(caller, **parsed)
        except Forbidden as error:
            self._gate.audit.refuse(caller, name, error, given)
            raise


def failed(error: RelentlessError) -> Answer:
    """Give an error as a tool's answer."""
    message = brief(str(error))
    said: dict[str, Any] = {
        "code": error.code,
        "message": message,
        "retryable": error.retryable,
    }
    if isinstance(error, Overloaded) and error.retry_after is not None:
        said["retry_after"] = round(error.retry_after, 3)
    hint = " (may be tried again)" if error.retryable else ""
    return Answer(f"{error.code}: {message}{hint}", json.dumps({"error": said}), is_error=True)


def _tool(name: str, families: Sequence[object]) -> Tool:
    method = next(getattr(family, name) for family in families if hasattr(family, name))
    signature = inspect.signature(method, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.name not in ("caller", "progress")]
    fields: dict[str, Any] = {
        p.name: (p.annotation, ... if p.default is inspect.Parameter.empty else p.default)
        for p in parameters
    }
    arguments = create_model(f"{name}_arguments", __base__=Arguments, **fields)
    access = ACCESS[name]
    listing = types.Tool(
        name=name,
        title=access.title,
        description=" ".join(inspect.cleandoc(method.__doc__ or "").split()),
        input_schema=compact_input(arguments.model_json_schema()),
        output_schema=compact_output(
            signature.return_annotation.model_json_schema(mode="serialization")
        ),
        annotations=_annotations(access),
        icons=[types.Icon(src=icons.TOOLS[name])] if name in icons.TOOLS else None,
        meta=apps.tool_meta(name),
    )
    return Tool(
        listing,
        arguments,
        method,
        tells="progress" in signature.parameters,
        linked=hasattr(signature.return_annotation, "links"),
    )


def resource_link(link: Link) -> types.ResourceLink:
    """Give a link as a content block."""
    return types.ResourceLink(
        uri=link.uri,
        name=link.name,
        title=link.title,
        mime_type="application/json",
        annotations=types.Annotations(priority=link.priority),
    )


def _annotations(access: Access) -> types.ToolAnnotations:
    """Say what a client may assume; of a tool that only reads the rest has no meaning."""
    if access.reads_only:
        return types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
    return types.ToolAnnotations(
        read_only_hint=False,
        destructive_hint=access.destructive,
        idempotent_hint=access.idempotent,
        open_world_hint=False,
    )


def _unquoted(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
