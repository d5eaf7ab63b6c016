"""What the news agent keeps between runs: the stories seen, and how they were read.

One file, written beside its place and moved into it. It holds what is still needed by age alone,
so it is bounded. A file that a power cut damaged does not parse and counts as absent: stories are
then told anew, under the same ids as long as their own copies are still listed.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from relentless.agents.news.reading import Reading
from relentless.agents.news.stories import Remembered
from relentless.proto.messages import Evidence

FORMAT: Final = 1
FILE: Final = "stories.json"
MAX_STORIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Read:
    """How an engine read one revision of a story."""

    revision: int
    engine: str
    """The one that was asked; the reading names the one that answered."""
    at: datetime
    """The moment of the run."""
    reading: Reading


@dataclass(frozen=True, slots=True)
class Memory:
    """The whole file."""

    stories: tuple[Remembered, ...] = ()
    readings: dict[str, Read] = field(default_factory=dict)
    """By story."""
    evidence: dict[str, Evidence] = field(default_factory=dict)
    """By the SHA-256 of the answer."""
    format: int = FORMAT


_MEMORY: Final = TypeAdapter(Memory)


def recall(folder: Path, as_of: datetime) -> Memory:
    """Give what was remembered at a moment: what a later run learned is not known yet."""
    memory = Memory()
    with contextlib.suppress(OSError, ValidationError):
        read = _MEMORY.validate_json((folder / FILE).read_bytes())
        memory = read if read.format == FORMAT else memory
    stories = tuple(s for story in memory.stories if (s := story.as_of(as_of)) is not None)
    readings = {name: read for name, read in memory.readings.items() if read.at <= as_of}
    return Memory(stories, readings, memory.evidence)


def keep(
    folder: Path,
    stories: Iterable[Remembered],
    readings: dict[str, Read],
    evidence: dict[str, Evidence],
) -> None:
    """Keep the newest stories, with the readings and the evidence that belong to them."""
    newest = sorted(stories, key=lambda s: (s.item.published_at, s.story_id))[-MAX_STORIES:]
    ids = {story.story_id for story in newest}
    bodies = {story.item.body for story in newest}
    memory = Memory(
        tuple(newest),
        {name: read for name, read in sorted(readings.items()) if name in ids},
        {body: said for body, said in sorted(evidence.items()) if body in bodies},
    )
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{FILE}.tmp"
    beside.write_bytes(_MEMORY.dump_json(memory))
    beside.replace(folder / FILE)
