"""Reads SGML headers for filings whose time, parties or period are not known for certain.

A run reads a bounded number, the run's companies first. A header that was read once is kept.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from relentless.agents.base import Gap
from relentless.agents.edgar.entries import FilingEntry, merged
from relentless.agents.edgar.header import read_header
from relentless.agents.http import Source
from relentless.proto.errors import SourceError, SourceMalformed

MAX_HEADERS: Final = 60
"""Read a run; EDGAR allows ten requests a second to everything on the machine."""
AT_ONCE: Final = 6


class Headers:
    """The headers of a run."""

    def __init__(self, source: Source, kept: dict[str, FilingEntry]) -> None:
        """``kept`` holds what earlier runs read, and takes what this one reads."""
        self._source = source
        self._kept = kept
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._left = MAX_HEADERS
        self.gaps: list[Gap] = []

    async def complete(self, entries: Iterable[FilingEntry], what: str) -> list[FilingEntry]:
        """Give the entries, each joined with its header where that could be read.

        An entry whose header fails, or for which the run has no request left, comes as it was.
        """
        wanted = list(entries)
        missing = [entry for entry in wanted if entry.accession not in self._kept]
        asked, rest = missing[: self._left], missing[self._left :]
        self._left -= len(asked)
        if rest:
            self.gaps.append(Gap(what, "left_out", f"{len(rest)} headers not read"))
        await asyncio.gather(*(self._read(entry) for entry in asked))
        return [self._joined(entry) for entry in wanted]

    async def _read(self, entry: FilingEntry) -> None:
        async with self._slots:
            try:
                answer = await self._source.get_bytes(entry.headers_path, accept="text/html")
                header = read_header(self._source.name, answer)
                if header.accession != entry.accession:
                    raise SourceMalformed(self._source.name, "the header of another filing")
            except SourceError as error:
                self.gaps.append(Gap.of(entry.accession, error))
            else:
                self._kept[entry.accession] = header.entry(answer)

    def _joined(self, entry: FilingEntry) -> FilingEntry:
        header = self._kept.get(entry.accession)
        if header is None:
            return entry
        # The header's parties are the whole list; its words for items may lack a code.
        (joined,) = merged([replace(entry, parties=()), header])
        return joined
