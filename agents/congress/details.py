"""Reading single bills, kept on disk until the record changes.

Detail, actions and committees of each; cosponsors where the detail counts any, and the titles where
the list shows a short title, which is not what the chance of passage was fitted on.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from relentless.agents.base import Gap
from relentless.agents.congress.reading import (
    Listed,
    has_cosponsors,
    is_official,
    items_of,
    official_of,
    read_facts,
)
from relentless.agents.congress.shelf import Kept, Shelf
from relentless.agents.http import Answer, Source
from relentless.proto.errors import SourceError, SourceMalformed

AT_ONCE: Final = 3
"""Bills asked for at the same time: the live rate limit leaves no use for more, and every further
connection costs the client time on each request."""
PAGE: Final = 250
MAX_PAGES: Final = 20
NAMED: Final = 5
"""Bills that a gap names."""


class Reader:
    """Reads the facts of bills; one that fails is left out and counted in the gaps."""

    def __init__(self, source: Source, shelf: Shelf) -> None:
        self._source = source
        self._shelf = shelf
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._failed: dict[str, list[str]] = {}

    async def read_all(self, bills: Iterable[Listed]) -> dict[str, Kept]:
        """Give the facts of bills by their id, those that could be read."""
        wanted = tuple(bills)
        found = await asyncio.gather(*(self._read(listed) for listed in wanted))
        return {
            listed.bill_id: kept
            for listed, kept in zip(wanted, found, strict=True)
            if kept is not None
        }

    def gaps(self) -> list[Gap]:
        """Give one gap for each reason why bills could not be read."""
        gaps = []
        for reason, bills in sorted(self._failed.items()):
            named = ", ".join(sorted(bills)[:NAMED])
            more = f" and {len(bills) - NAMED} more" if len(bills) > NAMED else ""
            gaps.append(Gap("bill details", reason, f"{named}{more}"))
        return gaps

    async def _read(self, listed: Listed) -> Kept | None:
        async with self._slots:
            kept = await asyncio.to_thread(self._shelf.kept, listed)
            if kept is not None:
                return kept
            try:
                kept = await self._fetch(listed)
            except SourceError as error:
                self._failed.setdefault(error.code, []).append(listed.bill_id)
                return None
            await asyncio.to_thread(self._shelf.keep, listed, kept)
            return kept

    async def _fetch(self, listed: Listed) -> Kept:
        detail = await self._source.get_json(listed.path, {"format": "json"})
        actions, of_actions = await self._pages(f"{listed.path}/actions", "actions")
        committees, of_committees = await self._pages(f"{listed.path}/committees", "committees")
        cosponsors: list[Any] = []
        if has_cosponsors(detail.value):
            cosponsors, _ = await self._pages(f"{listed.path}/cosponsors", "cosponsors")
        title = listed.title
        if not is_official(title):
            titles, _ = await self._pages(f"{listed.path}/titles", "titles")
            title = official_of(titles) or title
        name = f"Congress.gov v3 bill {listed.bill_id}"
        evidence = (
            detail.evidence(name, upstream_timestamp=listed.updated),
            of_actions.evidence(f"{name} actions"),
            of_committees.evidence(f"{name} committees"),
        )
        facts = read_facts(detail.value, actions, committees, cosponsors, title)
        return Kept(listed.version, facts, evidence)

    async def _pages(self, path: str, name: str) -> tuple[list[Any], Answer]:
        """Read a list of one bill whole; give the items, without repeats, and the first answer."""
        items: list[Any] = []
        first: Answer | None = None
        for _ in range(MAX_PAGES):
            params: dict[str, str | int] = {"format": "json", "limit": PAGE}
            answer = await self._source.get_json(path, params | {"offset": len(items)})
            first = first or answer
            page, count = items_of(answer.value, name)
            items += page
            if len(items) >= count:
                return items, first
            if not page:
                break
        raise SourceMalformed(self._source.name, f"{name}: {len(items)} of the stated count came")
