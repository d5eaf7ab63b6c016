"""The list of a Congress's bills: read whole at first, then what changed since.

Pages are asked for by ``updateDate``, oldest first, and overlap: where a record that is touched
meanwhile moves to the end, the pages behind it shift, and the overlap shows it. Items that come
twice are kept once, by their newest ``updateDate``.
"""

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from relentless.agents.base import Gap
from relentless.agents.congress.reading import Listed, day_of, items_of, read_listed
from relentless.agents.congress.shelf import Shelf, Synced
from relentless.agents.http import Answer, Source
from relentless.proto.errors import SourceMalformed

PAGE: Final = 250
"""The most that the service gives; a bigger limit is cut without a word."""
OVERLAP: Final = 10
MAX_READS: Final = 2
MAX_STEPS_BACK: Final = 5
MAX_PAGES: Final = 200
"""Some 24,000 measures were introduced in the busiest Congress of late."""


async def synced_list(
    source: Source, shelf: Shelf, congress: int, as_of: datetime
) -> tuple[list[Listed], list[Gap]]:
    """Give every law-capable bill of a Congress, as listed now; keep the list for the next run.

    Raises:
        SourceError: the list could not be read whole; what was kept stays as it was.
    """
    before = await asyncio.to_thread(shelf.synced)
    if before is not None and before.as_of > as_of:
        before = None
    walk = _Walk(source, congress, before.through if before else None)
    await walk.read()
    bills = _merged(before, walk.found, as_of)
    through = max((day_of(listed.updated) for listed in bills.values()), default=as_of.date())
    await asyncio.to_thread(shelf.keep_synced, Synced(as_of, through, bills))
    return list(bills.values()), walk.gaps()


def _merged(before: Synced | None, found: dict[str, Listed], as_of: datetime) -> dict[str, Listed]:
    """Lay what changed over what was there; a new latest action was first seen now."""
    if before is None:
        return found
    bills = dict(before.bills)
    for bill_id, listed in found.items():
        known = bills.get(bill_id)
        unchanged = known is not None and known.latest == listed.latest
        seen_at = known.seen_at if known is not None and unchanged else as_of.isoformat()
        bills[bill_id] = replace(listed, seen_at=seen_at)
    return bills


class _Walk:
    """One reading of all pages."""

    def __init__(self, source: Source, congress: int, since: date | None) -> None:
        self.found: dict[str, Listed] = {}
        self._source = source
        self._congress = congress
        self._since = since
        self._malformed = 0
        self._seen: set[str] = set()

    async def read(self) -> None:
        """Read all pages; once more from the beginning where records are missing.

        Raises:
            SourceError: a page failed, or fewer distinct records came than the count states.
        """
        for _ in range(MAX_READS):
            self._seen, self._malformed, self.found = set(), 0, {}
            count = await self._read_once()
            if len(self._seen) >= count:
                return
        raise SourceMalformed(
            self._source.name, f"{len(self._seen)} distinct records of {count} came: pages repeat"
        )

    async def _read_once(self) -> int:
        """Read page after page until the stated count is reached; give the last stated count.

        The last count is held against what came: a record that is new meanwhile stands at the end
        and is in the last page, and one that is removed lowers the count.
        """
        offset, steps_back = 0, 0
        before: set[str] = set()
        for _ in range(MAX_PAGES):
            answer = await self._source.get_json(f"/v3/bill/{self._congress}", self._query(offset))
            items, count = items_of(answer.value, "bills")
            if not items:
                raise SourceMalformed(self._source.name, f"an empty page at {offset} of {count}")
            names = [_name(item) for item in items]
            if before and not before & set(names[:OVERLAP]):
                steps_back += 1
                if steps_back > MAX_STEPS_BACK:
                    raise SourceMalformed(self._source.name, "the list shifts faster than it reads")
                offset, before = max(0, offset - PAGE), set()
                continue
            self._take(items, answer)
            new = set(names) - self._seen
            self._seen |= new
            at_end = offset + len(items) >= count
            # A full last page with new records, and still not all: pages shifted, read on.
            if at_end and (len(self._seen) >= count or len(items) < PAGE or not new):
                return count
            before = set(names)
            offset += max(len(items) - OVERLAP, 1)
        raise SourceMalformed(self._source.name, f"more than {MAX_PAGES} pages")

    def gaps(self) -> list[Gap]:
        """Give a gap where items broke the contract."""
        if not self._malformed:
            return []
        return [Gap("bill list", SourceMalformed.code, f"{self._malformed} items left out")]

    def _query(self, offset: int) -> dict[str, str | int]:
        query: dict[str, str | int] = {
            "format": "json",
            "limit": PAGE,
            "offset": offset,
            "sort": "updateDate asc",
        }
        if self._since is not None:
            # A day of overlap: the list's own dates have no time.
            query["fromDateTime"] = f"{self._since - timedelta(days=1)}T00:00:00Z"
        return query

    def _take(self, items: list[Any], answer: Answer) -> None:
        for item in items:
            try:
                listed = read_listed(item, self._congress)
            except SourceMalformed:
                self._malformed += 1
                continue
            if listed is None:
                continue
            known = self.found.get(listed.bill_id)
            if known is None or known.updated <= listed.updated:
                self.found[listed.bill_id] = replace(
                    listed, sha256=answer.sha256, origin=answer.origin.value
                )


def _name(item: Any) -> str:
    """Give what tells list items apart, also where an item is malformed."""
    if not isinstance(item, dict) or not item.get("number"):
        return repr(item)[:80]
    return f"{item.get('type')} {item.get('number')}"
