"""Which economic releases the calendar tells of: ``events.toml`` read into one pure table.

FRED's calendar has dates; the time of day, the importance and the series of a release are stated
here. After loading nothing here does I/O.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from functools import cache
from pathlib import Path
from typing import Any, Literal

Importance = Literal["high", "medium", "low"]
Measure = Literal["level", "change", "change_pct"]


@dataclass(frozen=True, slots=True)
class Event:
    """One release, by FRED's number and name."""

    release_id: int
    name: str
    importance: Importance
    at: time | None
    """Eastern; None where only the day is known."""
    series: str | None
    measure: Measure | None
    daily: bool
    """FRED lists it on every day: only a date that stands alone says something."""


class EventTable:
    """The releases by FRED's number."""

    def __init__(self, events: dict[int, Event]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.values())

    def get(self, release_id: int) -> Event | None:
        """Give a release, or None where the calendar does not tell of it."""
        return self._events.get(release_id)


@cache
def event_table(path: Path | None = None) -> EventTable:
    """Read the table, once; by default the one that stands beside this module."""
    source = path or Path(__file__).with_name("events.toml")
    raw = tomllib.loads(source.read_text(encoding="utf-8"))
    return EventTable({int(number): _event(int(number), body) for number, body in raw.items()})


def _event(number: int, body: dict[str, Any]) -> Event:
    return Event(
        release_id=number,
        name=body["name"],
        importance=body["importance"],
        at=time.fromisoformat(body["at"]) if "at" in body else None,
        series=body.get("series"),
        measure=body.get("measure"),
        daily=body.get("daily", False),
    )
