"""Read the news as of a moment: one message for each story and asset.

Sources give copies, copies become stories (``stories``), an engine says what each means for which
asset (``engines``), and a story that was read once is not read again. What the agent remembers
(``memory``) lets a story that left its feed still claim a later copy, and an edited story take back
what it said before. The rules: docs/agents/news.md.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, Final

from pydantic import JsonValue

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.news.engines import choose
from relentless.agents.news.items import Item, plain
from relentless.agents.news.memory import Memory, Read, keep, recall
from relentless.agents.news.reading import AssetReading, Engine, Reading
from relentless.agents.news.sources import read_all
from relentless.agents.news.stories import WINDOW, Gathered, Remembered, gather, usable
from relentless.proto.base import iso
from relentless.proto.contexts import News, Topic
from relentless.proto.errors import InvalidMessage, RelentlessError
from relentless.proto.messages import ContextMessage, Evidence

MAX_STORIES: Final = 400
"""Stories a run that are read for the first time, the newest first."""
MAX_MESSAGES: Final = 400
"""Messages a run, the newest first."""
MAX_NAMES: Final = 20
DECIMALS: Final = 4
"""Of scores: a model's last digits differ between machines, and a message's id must not."""
NO_LONGER: Final = "The story was corrected: it is not about this asset."
AT_ONCE: Final = timedelta(seconds=1)
"""After which a message that only takes another back has expired."""


class NewsAnalysisAgent(Agent):
    """News of CNBC, the WSJ, the FT, Bloomberg, Reuters, Alpaca and GDELT."""

    name: ClassVar[str] = "NewsAnalysisAgent"
    command: ClassVar[str] = "news"
    topic: ClassVar[Topic] = Topic.NEWS
    schedule: ClassVar[tuple[str, ...]] = ("05:00", "07:50", "09:10", "*/30 9-16 * * mon-fri")
    timeout_s: ClassVar[float] = 240.0

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine

    async def collect(self, run: Run) -> Collected:
        """Read all sources; those that fail are gaps and the others go on."""
        if self._engine is None:
            live = run.settings.clock.mode == "live"
            self._engine = await asyncio.to_thread(choose, run.settings, run.state, live)
        batch = await read_all(run)
        memory = await asyncio.to_thread(recall, run.state, run.as_of)
        found, remembered, gone = await asyncio.to_thread(_sorted, batch.items, memory, run)
        gaps = list(batch.gaps)
        if gone:
            gaps.append(Gap("news", "known_later", f"{gone} stories were edited since"))
        readings, missing = await self._read(run, self._engine, found, memory)
        gaps += missing
        evidence = memory.evidence | batch.evidence
        shelf = {story.story_id: story for story in remembered}
        messages: list[ContextMessage] = []
        for story in found:
            read = readings.get(story.story.story_id)
            if read is not None and run.as_of < story.story.published_at + WINDOW:
                told = shelf[story.story.story_id]
                said, told, lost = self._say(run, story, read.reading, told, evidence)
                shelf[story.story.story_id] = told
                messages += said
                gaps += lost
        if len(messages) > MAX_MESSAGES:
            left = len(messages) - MAX_MESSAGES
            gaps.append(Gap("news", "bounded", f"{left} older messages left out"))
        await asyncio.to_thread(keep, run.state, shelf.values(), readings, evidence)
        return Collected(tuple(messages[:MAX_MESSAGES]), tuple(gaps))

    async def _read(
        self, run: Run, engine: Engine, found: Sequence[Gathered], memory: Memory
    ) -> tuple[dict[str, Read], list[Gap]]:
        """Give the readings of the stories, by story; a revision is read once by an engine."""
        readings = dict(memory.readings)
        unread = [g.story for g in found if not _is_read(readings.get(g.story.story_id), g, engine)]
        for story in unread:
            readings.pop(story.story_id, None)
        gaps = []
        if len(unread) > MAX_STORIES:
            left = len(unread) - MAX_STORIES
            gaps.append(Gap("news", "bounded", f"{left} older stories not read"))
            unread = unread[:MAX_STORIES]
        try:
            answers = await engine.read(unread) if unread else []
        except RelentlessError as error:
            return readings, [*gaps, Gap.of(f"{len(unread)} stories", error)]
        for story, reading in zip(unread, answers, strict=True):
            readings[story.story_id] = Read(story.revision, engine.name, run.as_of, reading)
        return readings, gaps

    def _say(
        self,
        run: Run,
        found: Gathered,
        reading: Reading,
        told: Remembered,
        evidence: dict[str, Evidence],
    ) -> tuple[list[ContextMessage], Remembered, list[Gap]]:
        """Write a story's messages, and take back those about assets that it is not about."""
        messages, gaps = [], []
        now = {asset.asset: asset for asset in reading.assets}
        for asset in now.values():
            try:
                messages.append(self._message(run, found, reading, asset, evidence))
            except InvalidMessage as error:
                gaps.append(Gap.of(f"{found.story.story_id} {asset.asset}"[:80], error))
        wrong = sorted(told.told.keys() - now.keys())
        messages += [self._taken_back(run, found, symbol, evidence) for symbol in wrong]
        said = {str(message.context["asset"]): run.as_of for message in messages}
        return messages, replace(told, told=said | told.told), gaps

    def _message(
        self,
        run: Run,
        found: Gathered,
        reading: Reading,
        asset: AssetReading,
        evidence: dict[str, Evidence],
    ) -> ContextMessage:
        story = found.story
        says: dict[str, JsonValue] = {
            "asset": asset.asset,
            "sentiment": asset.sentiment,
            "confidence": round(asset.confidence, DECIMALS),
            "score": round(asset.score, DECIMALS) or 0.0,
            "summary": story.summary or story.headline,
            "headline": story.headline,
            "story_id": story.story_id,
            "topics": [*_names(reading.topics)],
            "publisher": story.publisher,
            "companies": [*_names(reading.companies)],
            "people": [*_names(reading.people)],
            "revision": story.revision,
            "copies": found.copies,
            "publishers": list(found.publishers[:MAX_NAMES]),
            "engine": plain(reading.engine, 200),
        }
        if found.url:
            says["url"] = found.url
        return self.compose(
            run,
            says,
            known_at=found.known_at,
            observed_at=story.published_at,
            expires_at=story.published_at + WINDOW,
            evidence=_evidence(found, evidence),
        )

    def _taken_back(
        self, run: Run, found: Gathered, symbol: str, evidence: dict[str, Evidence]
    ) -> ContextMessage:
        """Write what stands in place of a message that an edit made wrong: it weighs nothing.

        It is newer than the one it replaces and expires at once, and an expired message still
        hides the older ones.
        """
        story = found.story
        return self.compose(
            run,
            News(
                asset=symbol,
                sentiment="neutral",
                confidence=0.0,
                score=0.0,
                summary=NO_LONGER,
                headline=story.headline,
                story_id=story.story_id,
                publisher=story.publisher,
                revision=story.revision,
            ),
            known_at=found.known_at,
            observed_at=story.published_at,
            expires_at=found.known_at + AT_ONCE,
            evidence=_evidence(found, evidence),
        )


def _sorted(
    items: list[Item], memory: Memory, run: Run
) -> tuple[list[Gathered], list[Remembered], int]:
    kept, gone = usable(items, run.as_of)
    found, remembered = gather(kept, memory.stories, run.as_of)
    return found, remembered, gone


def _is_read(read: Read | None, found: Gathered, engine: Engine) -> bool:
    return read is not None and read.revision == found.story.revision and read.engine == engine.name


def _names(names: Sequence[str]) -> list[str]:
    return [short for name in names[:MAX_NAMES] if (short := plain(name, 200))]


def _evidence(found: Gathered, evidence: dict[str, Evidence]) -> list[Evidence]:
    """Give the evidence of the answer that holds the story's own copy, with that copy's time."""
    said = evidence.get(found.body)
    if said is None:
        return [Evidence(source=found.story.publisher, origin=found.story.origin)]
    return [said.model_copy(update={"upstream_timestamp": iso(found.story.published_at)})]
