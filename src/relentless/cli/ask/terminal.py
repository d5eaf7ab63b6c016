"""``relentless ask`` on a terminal: text as it comes, calls in dim lines, sources at the end."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from relentless.cli.ask.loop import Called, Ended, Question, Said, ToolInfo
from relentless.cli.ask.sources import cited, unread
from relentless.configs.claude import Spending
from relentless.configs.settings import Settings
from relentless.proto.errors import InvalidSettings, RelentlessError, Unavailable
from relentless.serving.clients.hub import HubClient
from relentless.store.keys import local_credential

TIMEOUT_S = 120.0
RETRIES = 3


class ReadOnlyHub:
    """The hub under a reader's key; offers the tools that say that they only read."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    async def tools(self) -> Sequence[ToolInfo]:
        """Give the tools that only read."""
        return [
            ToolInfo(tool.name, tool.description or "", tool.input_schema)
            for tool in await self._hub.tools()
            if tool.annotations is not None and tool.annotations.read_only_hint
        ]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool."""
        wait = arguments.get("wait_s", 0.0)
        return await self._hub.call(
            tool, arguments, wait_s=float(wait) if isinstance(wait, int | float) else 0.0
        )


async def ask(settings: Settings, question: str, *, usd: float | None) -> int:
    """Ask one question and print what comes; give the exit code.

    Raises:
        InvalidSettings: there is no key for the Messages API.
        RelentlessError: the hub cannot be reached.
    """
    key = settings.anthropic_api_key
    if key is None:
        raise InvalidSettings(
            "relentless ask needs a key for Claude: run `export ANTHROPIC_API_KEY=sk-ant-...`, or "
            "write ANTHROPIC_API_KEY=sk-ant-... into .env"
        )
    spending = Spending(
        settings.ask.model, settings.ask.tokens, settings.ask.usd if usd is None else usd
    )
    credential = local_credential(settings.paths.state, "reader")
    console = Console(soft_wrap=True, highlight=False)
    async with (
        HubClient(settings.hub.url, credential, tls=settings.hub.calling()) as hub,
        _messages(key, settings.ask.url) as messages,
    ):
        asked = Question(ReadOnlyHub(hub), messages, spending, settings.ask.model)
        return await _print(console, asked, question, spending)


@asynccontextmanager
async def _messages(key: SecretStr, url: str | None) -> AsyncIterator[Any]:
    """Open the Messages API; its errors become ours, without the key."""
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=key.get_secret_value(),
        base_url=url,
        max_retries=RETRIES,
        timeout=TIMEOUT_S,
    )
    try:
        async with client:
            yield client.messages
    except anthropic.AuthenticationError as error:
        raise InvalidSettings("the key for Claude was refused: check ANTHROPIC_API_KEY") from error
    except anthropic.APIStatusError as error:
        said = f"Claude's service answered {error.status_code}"
        raise Unavailable(f"{said}: {_reason(error)}; try again later") from error
    except (anthropic.APIError, httpx2.HTTPError) as error:
        raise Unavailable(
            f"Claude's service cannot be reached ({type(error).__name__}); try again later"
        ) from error


def _reason(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    said = body.get("error")
    message = said.get("message") if isinstance(said, dict) else None
    return str(message)[:160] if message else type(error).__name__


async def _print(console: Console, asked: Question, question: str, spending: Spending) -> int:
    answer = ""
    try:
        async for event in asked.ask(question):
            match event:
                case Said(text):
                    answer += text
                    console.print(Text(text), end="")
                case Called():
                    answer = _line_break(console, answer)
                    console.print(_call_line(event))
                case Ended():
                    _line_break(console, answer)
                    _sources(console, answer, event)
                    console.print(Text(f"{spending.summary()}; {event.why}", style="dim"))
                    return 0 if event.why == "answered" else 1
    except RelentlessError:
        _line_break(console, answer)
        raise
    return 1


def _line_break(console: Console, answer: str) -> str:
    """End a line that text has begun."""
    if answer and not answer.endswith("\n"):
        console.print()
        return answer + "\n"
    return answer


def _call_line(event: Called) -> str:
    given = ", ".join(f"{k}={json.dumps(v)[:60]}" for k, v in event.arguments.items())
    style = "dim" if event.ok else "yellow"
    return f"[{style}]  {escape(f'{event.tool}({given})')}: {escape(event.outcome)}[/{style}]"


def _sources(console: Console, answer: str, event: Ended) -> None:
    links = cited(answer)
    missing = set(unread(links, event.served))
    if links:
        console.print(Text("\nSources", style="bold"))
    for words, uri in links:
        warning = "  (cited, but not read for this answer)" if uri in missing else ""
        console.print(Text(f"  {uri}  {words}{warning}", style="yellow" if warning else "dim"))
