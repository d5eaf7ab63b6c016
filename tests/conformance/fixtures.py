"""What the conformance suite wants a server to hold, by the names that it calls. For tests only.

The suite calls tools, prompts and resources by fixed names (``test_simple_text``,
``test://static-text``). They are served by an SDK server of their own; :func:`mount` puts its
handlers behind the hub's: what the hub does not know by name goes to them. The transport, the
headers, sessions, listening and errors stay the hub's.
"""

import asyncio
import base64
import warnings
from typing import Annotated, Any

import mcp_types as types
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from pydantic import Field

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAE"
    "hQGAhKmMIQAAAABJRU5ErkJggg=="
)
WAV = base64.b64encode(
    b"RIFF&\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0\x80>\0\0\x02\0\x10\0data\x02\0\0\0\0\0"
).decode()

SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

fixtures = MCPServer("conformance", log_level="ERROR", subscriptions=False)
Content = types.ContentBlock


def text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


def answer(*content: Content) -> types.CallToolResult:
    return types.CallToolResult(content=list(content))


def embedded(uri: str, mime_type: str, said: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=said)
    return types.EmbeddedResource(type="resource", resource=contents)


IMAGE = types.ImageContent(type="image", data=PNG, mime_type="image/png")


# ------------------------------------------------------------------------------------- content


@fixtures.tool()
async def test_simple_text() -> types.CallToolResult:
    """Answer with text."""
    return answer(text("This is a simple text response for testing."))


@fixtures.tool()
async def test_image_content() -> types.CallToolResult:
    """Answer with an image."""
    return answer(IMAGE)


@fixtures.tool()
async def test_audio_content() -> types.CallToolResult:
    """Answer with sound."""
    return answer(types.AudioContent(type="audio", data=WAV, mime_type="audio/wav"))


@fixtures.tool()
async def test_embedded_resource() -> types.CallToolResult:
    """Answer with a resource."""
    said = "This is an embedded resource content."
    return answer(embedded("test://embedded-resource", "text/plain", said))


@fixtures.tool()
async def test_multiple_content_types() -> types.CallToolResult:
    """Answer with text, an image and a resource."""
    resource = embedded(
        "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
    )
    return answer(text("Multiple content types test:"), IMAGE, resource)


@fixtures.tool()
async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@fixtures.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100)
        await asyncio.sleep(0.05)
    return "progress was reported"


@fixtures.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Send three log messages."""
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            await ctx.log("info", said)
        await asyncio.sleep(0.05)
    return "log messages were sent"


@fixtures.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Send one log message."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await ctx.log("info", "a log message")
    return "a log message was sent"


@fixtures.tool()
async def test_missing_capability(ctx: Context) -> str:
    """Need a client that samples."""
    can = ctx.client_capabilities
    if can is None or can.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="this needs a client that samples",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "the client samples"


@fixtures.tool()
async def test_custom_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> str:
    """Take an argument that a header repeats."""
    return f"region {region}"


@fixtures.tool()
async def json_schema_2020_12_tool() -> str:
    """Be listed with a schema of the 2020-12 draft."""
    return "listed"


# ----------------------------------------------------------------- questions, before 2026-07-28


@fixtures.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        result = await ctx.session.create_message(
            messages=[types.SamplingMessage(role="user", content=text(prompt))],
            max_tokens=100,
            related_request_id=ctx.request_id,
        )
    return f"LLM response: {getattr(result.content, 'text', '')}"


async def _elicit(ctx: Context, message: str, schema: dict[str, Any]) -> types.ElicitResult:
    return await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)


@fixtures.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the client's user."""
    properties = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    schema = {"type": "object", "properties": properties, "required": ["username", "email"]}
    result = await _elicit(ctx, message, schema)
    return f"User response: action={result.action}, content={result.content}"


@fixtures.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with default values."""
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    }
    schema = {"type": "object", "properties": properties, "required": []}
    result = await _elicit(ctx, "Please fill in the form", schema)
    return f"Elicitation completed: action={result.action}, content={result.content}"


def _titled(prefix: str, kind: str) -> list[dict[str, str]]:
    numbers = ("First", "Second", "Third")
    return [
        {"const": f"{prefix}{at}", "title": f"{number} {kind}"}
        for at, number in enumerate(numbers, start=1)
    ]


@fixtures.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask with every form of choice."""
    options = ["option1", "option2", "option3"]
    properties = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": _titled("value", "Option")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": _titled("value", "Choice")}},
    }
    schema = {"type": "object", "properties": properties, "required": []}
    result = await _elicit(ctx, "Please choose", schema)
    return f"Elicitation completed: action={result.action}, content={result.content}"


# ------------------------------------------------------------- questions, from 2026-07-28 on


def ask_user(message: str, field: str, kind: str = "string") -> types.ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    params = types.ElicitRequestFormParams(message=message, requested_schema=schema)
    return types.ElicitRequest(params=params)


def ask_model(prompt: str, max_tokens: int) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=text(prompt))
    params = types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    return types.CreateMessageRequest(params=params)


def wanting(state: str | None = None, **requests: Any) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests or None, request_state=state)


def given(ctx: Context, key: str) -> Any:
    """Give the client's answer under a key; None where it is not there."""
    return (ctx.input_responses or {}).get(key)


def field_of(response: Any, name: str) -> Any:
    """Give a field of an accepted form; None where there is none."""
    content = getattr(response, "content", None)
    accepted = getattr(response, "action", None) == "accept"
    return content.get(name) if accepted and isinstance(content, dict) else None


@fixtures.tool()
async def test_input_required_result_elicitation(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask for a name."""
    name = field_of(given(ctx, "user_name"), "name")
    if not isinstance(name, str):
        return wanting(user_name=ask_user("What is your name?", "name"))
    return answer(text(f"Hello, {name}!"))


@fixtures.tool()
async def test_input_required_result_sampling(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask the client's model for a capital."""
    response = given(ctx, "capital_question")
    said = getattr(getattr(response, "content", None), "text", None)
    if said is None:
        return wanting(capital_question=ask_model("What is the capital of France?", 100))
    return answer(text(said))


@fixtures.tool()
async def test_input_required_result_list_roots(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask for the client's roots."""
    roots = getattr(given(ctx, "client_roots"), "roots", None)
    if roots is None:
        return wanting(client_roots=types.ListRootsRequest())
    return answer(text("roots: " + ", ".join(str(root.uri) for root in roots)))


@fixtures.tool()
async def test_input_required_result_request_state(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask, and want the state back."""
    if ctx.request_state != "asked" or given(ctx, "confirm") is None:
        return wanting("asked", confirm=ask_user("Please confirm", "ok", "boolean"))
    return answer(text("state-ok"))


@fixtures.tool()
async def test_input_required_result_tampered_state(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask, with a state that cannot be changed unseen."""
    if ctx.request_state != "sealed" or given(ctx, "confirm") is None:
        return wanting("sealed", confirm=ask_user("Please confirm", "ok", "boolean"))
    return answer(text("state-ok"))


@fixtures.tool()
async def test_input_required_result_multiple_inputs(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask three things at once."""
    wanted = ("user_name", "greeting", "client_roots")
    if any(given(ctx, key) is None for key in wanted):
        return wanting(
            "three",
            user_name=ask_user("What is your name?", "name"),
            greeting=ask_model("Generate a greeting", 50),
            client_roots=types.ListRootsRequest(),
        )
    return answer(text("all three came"))


@fixtures.tool()
async def test_input_required_result_multi_round(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask twice, one after the other."""
    if ctx.request_state == "second" and given(ctx, "step2") is not None:
        return answer(text("both rounds are done"))
    if ctx.request_state == "first" and given(ctx, "step1") is not None:
        return wanting("second", step2=ask_user("Step 2: What is your favorite color?", "color"))
    return wanting("first", step1=ask_user("Step 1: What is your name?", "name"))


@fixtures.tool()
async def test_input_required_result_capabilities(
    ctx: Context,
) -> types.CallToolResult | types.InputRequiredResult:
    """Ask only what the client declared that it can answer."""
    can = ctx.client_capabilities
    if ctx.input_responses:
        return answer(text("answered"))
    asked: dict[str, Any] = {}
    if can is not None and can.elicitation is not None:
        asked["user_name"] = ask_user("What is your name?", "name")
    if can is not None and can.sampling is not None:
        asked["greeting"] = ask_model("Generate a greeting", 50)
    return wanting(**asked) if asked else answer(text("nothing to ask with"))


# --------------------------------------------------------------------------- resources, prompts


@fixtures.resource("test://static-text", mime_type="text/plain")
async def static_text() -> str:
    """Text that never changes."""
    return "This is the content of the static text resource."


@fixtures.resource("test://static-binary", mime_type="image/png")
async def static_binary() -> bytes:
    """An image that never changes."""
    return base64.b64decode(PNG)


@fixtures.resource("test://watched-resource", mime_type="text/plain")
async def watched() -> str:
    """Something to watch."""
    return "watched"


@fixtures.resource("test://template/{id}/data", mime_type="application/json")
async def templated(id: str) -> str:
    """What a template makes of a parameter."""
    return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'


@fixtures.prompt()
async def test_simple_prompt() -> str:
    """Ask nothing."""
    return "This is a simple prompt for testing."


@fixtures.prompt()
async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Ask with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@fixtures.prompt()
async def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """Ask about a resource."""
    said = "Embedded resource content for testing."
    return [
        UserMessage(embedded(resourceUri, "text/plain", said)),
        UserMessage("Please process the embedded resource above."),
    ]


@fixtures.prompt()
async def test_prompt_with_image() -> list[UserMessage]:
    """Ask about an image."""
    return [UserMessage(IMAGE), UserMessage("Please analyze the image above.")]


@fixtures.prompt()
async def test_input_required_result_prompt(
    ctx: Context,
) -> list[UserMessage] | types.InputRequiredResult:
    """Ask for a context first."""
    context = field_of(given(ctx, "user_context"), "context")
    if context is None:
        question = ask_user("What context should the prompt use?", "context")
        return wanting(user_context=question)
    return [UserMessage(f"Use this context: {context}")]


@fixtures.completion()
async def complete(ref: Any, argument: Any, _: Any) -> types.Completion:
    """Complete by the beginnings of three words."""
    words = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
    return types.Completion(values=words, total=len(words), has_more=False)


# ------------------------------------------------------------------------------------ mounting


def mount(hub: "Server[dict[str, object]]") -> None:
    """Put the fixtures behind the hub's own handlers, and nothing in front of them."""
    theirs = fixtures._lowlevel_server
    hub.middleware.extend(m for m in theirs.middleware if "RequestState" in type(m).__name__)
    for method, names in (
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resource_templates"),
    ):
        _both(hub, theirs, method, names)
    for method, mine in (
        ("tools/call", lambda params: not _fixture_tool(params.name)),
        ("prompts/get", lambda params: not params.name.startswith("test_")),
        ("resources/read", lambda params: not str(params.uri).startswith("test://")),
        ("completion/complete", lambda params: not _about_fixture(params.ref)),
    ):
        _either(hub, theirs, method, mine)
    _legacy(hub)
    inner = hub.get_tool_input_schema
    hub.get_tool_input_schema = lambda name: (
        fixtures._tool_input_schema(name) if _fixture_tool(name) else inner(name) if inner else None
    )


def _fixture_tool(name: str) -> bool:
    return name.startswith("test_") or name == "json_schema_2020_12_tool"


def _about_fixture(ref: Any) -> bool:
    name = getattr(ref, "name", "") or str(getattr(ref, "uri", ""))
    return name.startswith("test")


def _both(hub: Any, theirs: Any, method: str, names: str) -> None:
    own, other = hub.get_request_handler(method), theirs.get_request_handler(method)

    async def listed(ctx: Any, params: Any) -> Any:
        result = await other.handler(ctx, params)
        if method == "tools/list":
            for tool in result.tools:
                if tool.name == "json_schema_2020_12_tool":
                    tool.input_schema = SCHEMA_2020_12
        if own is not None:
            first = await own.handler(ctx, params)
            setattr(result, names, [*getattr(first, names), *getattr(result, names)])
        return result

    hub.add_request_handler(method, other.params_type, listed)


def _either(hub: Any, theirs: Any, method: str, mine: Any) -> None:
    own, other = hub.get_request_handler(method), theirs.get_request_handler(method)

    async def handled(ctx: Any, params: Any) -> Any:
        chosen = own if own is not None and mine(params) else other
        return await chosen.handler(ctx, params)

    hub.add_request_handler(method, other.params_type, handled)


def _legacy(hub: Any) -> None:
    """Serve what only the suite asks of a server of the older protocols."""

    async def level(_: Any, __: Any) -> types.EmptyResult:
        return types.EmptyResult()

    hub.add_request_handler("logging/setLevel", types.SetLevelRequestParams, level)
    for method in ("resources/subscribe", "resources/unsubscribe"):
        own = hub.get_request_handler(method)

        async def handled(ctx: Any, params: Any, own: Any = own) -> Any:
            if str(params.uri).startswith("test://"):
                return types.EmptyResult()
            return await own.handler(ctx, params)

        hub.add_request_handler(method, own.params_type, handled)
