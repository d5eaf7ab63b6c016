"""The engine that asks Claude: structured output, no tools, a cached prompt, a daily budget.

Whatever goes wrong, the offline engine reads instead and ``Reading.engine`` says why. Neither the
key nor a story's text is ever logged.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic import SecretStr, ValidationError

from relentless.agents.news.engines.budget import Budget
from relentless.agents.news.engines.offline import OfflineEngine
from relentless.agents.news.engines.prompt import (
    SCHEMA,
    Said,
    SaidStory,
    accepted,
    system,
    wrapped,
)
from relentless.agents.news.reading import Reading, Story
from relentless.configs.claude import Used
from relentless.configs.settings import NewsSettings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types import Message

BATCH: Final = 20
"""Stories a request."""
OUTPUT_TOKENS: Final = 160
"""Room for one story's reading in the answer."""
RETRIES: Final = 2
"""By the SDK: 408, 409, 429, 5xx and connections, with its own backoff and ``retry-after``."""
TIMEOUT_S: Final = 30.0
_CHARS_PER_TOKEN: Final = 2.5
"""Low, so that a booking errs high."""

_log = structlog.get_logger()


class _Failed(Exception):
    """A request that gave nothing; says why in one word."""

    def __init__(self, why: str, *, lasting: bool = False, free: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.lasting = lasting
        """The next request would fail too."""
        self.free = free
        """The service refused it, and bills nothing."""


class ClaudeEngine:
    """Reads by Claude, within the budget."""

    def __init__(
        self,
        settings: NewsSettings,
        key: SecretStr,
        state: Path,
        fallback: OfflineEngine,
        budget: Budget | None = None,
    ) -> None:
        """Prepare; nothing is loaded or sent.

        Args:
            settings: Model, address and budget.
            key: Of the Messages API.
            state: The agent's state folder, for the budget's file.
            fallback: Reads what Claude does not.
            budget: Another budget than the settings'.
        """
        self._model = settings.model
        self._url = settings.url
        self._key = key
        self._fallback = fallback
        self._budget = budget or Budget(
            state / "news_budget.json", settings.model, settings.daily_tokens, settings.daily_usd
        )
        self._lock = asyncio.Lock()
        self._client: AsyncAnthropic | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model

    async def read(self, stories: Sequence[Story]) -> list[Reading]:
        """Read stories; one reading each, in order. What Claude does not read the fallback does."""
        readings: dict[int, Reading] = {}
        reasons: dict[int, str] = {}
        async with self._lock:
            try:
                await self._read(stories, readings, reasons)
            finally:
                client, self._client = self._client, None
                if client is not None:
                    await client.close()
        left = sorted(reasons)
        for place, reading in zip(
            left, await self._fallback.read([stories[place] for place in left]), strict=True
        ):
            readings[place] = _because(reading, reasons[place])
        return [readings[place] for place in range(len(stories))]

    async def _read(
        self, stories: Sequence[Story], readings: dict[int, Reading], reasons: dict[int, str]
    ) -> None:
        """Ask batch by batch; put what was read, and why not, by the stories' places."""
        ended = ""
        for start in range(0, len(stories), BATCH):
            batch = stories[start : start + BATCH]
            places = range(start, start + len(batch))
            if ended:
                reasons.update(dict.fromkeys(places, ended))
                continue
            try:
                answered = await self._ask(batch)
            except _Failed as failed:
                ended = failed.why if failed.lasting else ""
                reasons.update(dict.fromkeys(places, failed.why))
                _log.warning("claude_read_nothing", why=failed.why, stories=len(batch))
                continue
            for place, answer in zip(places, answered, strict=True):
                if isinstance(answer, Reading):
                    readings[place] = answer
                else:
                    reasons[place] = answer

    async def _ask(self, batch: Sequence[Story]) -> list[Reading | str]:
        """Ask for one batch; give each story's reading, or in a word why there is none."""
        text = wrapped(batch)
        size = int((len(system()) + len(text) + len(json.dumps(SCHEMA))) / _CHARS_PER_TOKEN)
        room = 300 + OUTPUT_TOKENS * len(batch)
        most = Used(input=0, output=room, cache_write=size)
        if not await asyncio.to_thread(self._budget.book, most):
            raise _Failed("budget", lasting=True)
        try:
            message = await self._send(text, room)
        except _Failed as failed:
            if failed.free:
                await asyncio.to_thread(self._budget.settle, most, Used(input=0, output=0))
            raise
        used = Used.of(message.usage)
        await asyncio.to_thread(self._budget.settle, most, used)
        if message.stop_reason != "end_turn":
            raise _Failed(
                {"max_tokens": "cut", "refusal": "refused"}.get(str(message.stop_reason), "stopped")
            )
        return self._checked(batch, message)

    async def _send(self, text: str, room: int) -> "Message":
        """Send one request; the SDK retries."""
        try:
            if self._client is None:
                self._client = await asyncio.to_thread(self._connect)
            import anthropic

            try:
                return await self._client.messages.create(
                    model=self._model,
                    max_tokens=room,
                    system=[
                        {
                            "type": "text",
                            "text": system(),
                            "cache_control": {"type": "ephemeral"},
                        }
                    ],
                    messages=[{"role": "user", "content": text}],
                    output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
                )
            except anthropic.APITimeoutError:
                raise _Failed("timeout") from None
            except anthropic.APIConnectionError:
                raise _Failed("unreachable", lasting=True) from None
            except anthropic.RateLimitError:
                raise _Failed("rate limited", lasting=True, free=True) from None
            except anthropic.APIStatusError as error:
                status = error.status_code
                raise _Failed(
                    f"status {status}", lasting=status != 413, free=status < 500
                ) from None
        except _Failed:
            raise
        except Exception as error:
            raise _Failed(f"malformed {type(error).__name__}") from None

    def _connect(self) -> "AsyncAnthropic":
        """Import the SDK, which takes a second, and make its client."""
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(
            api_key=self._key.get_secret_value(),
            base_url=self._url,
            max_retries=RETRIES,
            timeout=TIMEOUT_S,
        )

    def _checked(self, batch: Sequence[Story], message: "Message") -> list[Reading | str]:
        """Check an answer against the closed schema and the stories' own texts."""
        text = "".join(block.text for block in message.content if block.type == "text")
        try:
            said = Said.model_validate_json(text)
        except ValidationError:
            raise _Failed("malformed") from None
        results: list[Reading | str] = ["missing"] * len(batch)
        seen: set[Any] = set()
        for entry in said.readings:
            name = entry.get("id")
            index = _index(name, len(batch))
            if index is None or name in seen:
                _log.warning("claude_named_no_story", model=self._model)
                if index is not None:
                    results[index] = "malformed"
                continue
            seen.add(name)
            try:
                one = SaidStory.model_validate(entry)
            except ValidationError:
                results[index] = "malformed"
                continue
            results[index] = accepted(one, batch[index], self.name) or "foreign"
        return results


def _index(name: object, count: int) -> int | None:
    """Give a story's place in the batch for its id "s3"; None for an id that was not given."""
    known = {f"s{index + 1}": index for index in range(count)}
    return known.get(name) if isinstance(name, str) else None


def _because(reading: Reading, why: str) -> Reading:
    return replace(reading, engine=f"{reading.engine} (claude: {why})")
