"""Fetching Forms 4 as whole submissions: the header has the acceptance, the text the XML."""

import asyncio
from collections.abc import Sequence
from typing import Final

from relentless.agents.base import Gap
from relentless.agents.edgar.entries import FilingEntry
from relentless.agents.edgar.header import document, read_documents, read_header
from relentless.agents.http import Answer, Source
from relentless.agents.insider.form4 import parse_form4
from relentless.agents.insider.trades import Report, report_of
from relentless.proto.errors import SourceError, SourceMalformed

AT_ONCE: Final = 8
"""Requests under way; EDGAR's rate is kept by the client."""
_NAMED: Final = 5


def read_submission(source: str, answer: Answer, accession: str) -> Report:
    """Read a whole submission into what is kept of it.

    Raises:
        SourceMalformed: cut, another filing, or without a readable ownership document.
    """
    header = read_header(source, answer)
    if header.accession != accession:
        raise SourceMalformed(source, f"{header.accession} came in place of {accession}")
    entry = header.entry(answer)
    text = document(source, read_documents(source, answer), header.form).text
    parsed = parse_form4(text, source)
    if parsed.form != header.form:
        raise SourceMalformed(source, f"a form {parsed.form} under the header of a {header.form}")
    return report_of(
        parsed,
        accession,
        entry.known_at or header.accepted_at,
        sha256=answer.sha256,
        url=answer.url,
        origin=answer.origin.value,
    )


async def read_filings(
    archive: Source, entries: Sequence[FilingEntry]
) -> tuple[list[Report], list[Gap]]:
    """Read filings, at most :data:`AT_ONCE` at a time; one gap for each reason names the rest."""
    gate = asyncio.Semaphore(AT_ONCE)
    failed: dict[str, list[tuple[str, str]]] = {}

    async def one(entry: FilingEntry) -> Report | None:
        async with gate:
            try:
                answer = await archive.get_bytes(entry.path, accept="text/plain")
                return await asyncio.to_thread(
                    read_submission, archive.name, answer, entry.accession
                )
            except SourceError as error:
                failed.setdefault(error.code, []).append((entry.accession, str(error)))
                return None

    read = await asyncio.gather(*(one(entry) for entry in entries))
    gaps = [_gap(reason, some) for reason, some in sorted(failed.items())]
    return [report for report in read if report is not None], gaps


def _gap(reason: str, failed: list[tuple[str, str]]) -> Gap:
    failed = sorted(failed)
    named = ", ".join(accession for accession, _ in failed[:_NAMED])
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return Gap("Forms 4", reason, f"{len(failed)} not read: {named}{more}; {failed[0][1]}"[:400])
