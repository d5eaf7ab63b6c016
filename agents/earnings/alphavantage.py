"""Alpha Vantage's calendar of three months: a table in CSV, or a refusal in JSON in its place.

Columns are read by their names: a new one has appeared before, and may stand anywhere. A refusal
comes with status 200; its words may hold the key, so they are never repeated.
"""

import csv
import io
import json
from dataclasses import dataclass
from typing import Final

from relentless.agents.earnings.rows import SYMBOL, Row, day, money, quarter, when
from relentless.agents.http import Answer, Source
from relentless.agents.runtime.answer import decode_text
from relentless.proto.errors import SourceError, SourceMalformed, SourceRateLimited, SourceRejected

SOURCE: Final = "alphavantage"
REQUIRED: Final = ("symbol", "reportDate", "fiscalDateEnding")
TIME_COLUMNS: Final = ("timeOfTheDay", "reportTime")
MAX_ROWS: Final = 50_000
MAX_FIELD: Final = 2_000


@dataclass(frozen=True, slots=True)
class Table:
    """The calendar, and how many of its rows could not be read."""

    rows: tuple[Row, ...]
    refused: int


async def ask(source: Source) -> tuple[Table, Answer]:
    """Read the whole calendar.

    Raises:
        SourceError: as for ``Source.get_bytes``; ``SourceRateLimited`` and ``SourceRejected``
            where a refusal in JSON stands in place of the table.
    """
    answer = await source.get_bytes(
        "/query", {"function": "EARNINGS_CALENDAR", "horizon": "3month"}, accept="text/csv"
    )
    return read_table(answer.value, answer.headers.get("content-type", "")), answer


def read_table(body: bytes, content_type: str = "") -> Table:
    """Read the table.

    Raises:
        SourceRateLimited: the day's or the minute's requests are used up.
        SourceRejected: the key or the request is wrong.
        SourceMalformed: it is no such table; one without any row counts as that too, because
            three months without a report do not exist.
    """
    text = decode_text(SOURCE, body, content_type)
    head = text.lstrip("\ufeff \r\n\t")
    if head.startswith(("{", "[")):
        raise refusal(head)
    if not head or head.startswith("<"):
        what = "HTML came in place of the table" if head else "the answer is empty"
        raise SourceMalformed(SOURCE, what)
    try:
        table = list(csv.reader(io.StringIO(head, newline=""), strict=True))
    except csv.Error as error:
        raise SourceMalformed(SOURCE, f"the table is no CSV: {str(error)[:80]}") from None
    names = [name.strip() for name in table[0]]
    if missing := [name for name in REQUIRED if name not in names]:
        raise SourceMalformed(SOURCE, f"no column {missing[0]}")
    if len(set(names)) != len(names):
        raise SourceMalformed(SOURCE, "two columns have one name")
    lines = [line for line in table[1:] if line]
    if not lines:
        raise SourceMalformed(SOURCE, "a table without a row")
    if len(lines) > MAX_ROWS:
        raise SourceMalformed(SOURCE, f"{len(lines)} rows; at most {MAX_ROWS}")
    if len(lines[-1]) != len(names) or not text.endswith("\n"):
        raise SourceMalformed(SOURCE, "the last row is not whole")
    read = [_row(names, line) for line in lines]
    rows = tuple(row for row in read if row is not None)
    if not rows:
        raise SourceMalformed(SOURCE, f"none of {len(lines)} rows can be read")
    return Table(rows, len(lines) - len(rows))


def refusal(text: str) -> SourceError:
    """Give the error that a body in JSON stands for."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return SourceMalformed(SOURCE, "neither a table nor JSON")
    names = set(body) if isinstance(body, dict) else set()
    if names & {"Information", "Note"}:
        return SourceRateLimited(SOURCE, "the requests allowed for the day or minute are used up")
    if "Error Message" in names:
        return SourceRejected(SOURCE, "the key or the request is refused", 200)
    return SourceMalformed(SOURCE, "JSON that is no known refusal came in place of the table")


def _row(names: list[str], line: list[str]) -> Row | None:
    if len(line) != len(names) or max(map(len, line)) > MAX_FIELD:
        return None
    cells = dict(zip(names, line, strict=True))
    symbol = cells["symbol"].strip()
    reports, ends = day(cells["reportDate"]), quarter(cells["fiscalDateEnding"])
    if not SYMBOL.fullmatch(symbol) or reports is None or ends is None:
        return None
    if ends > f"{reports:%Y-%m}":  # a quarter that is not over has no report
        return None
    said = next((cells[name] for name in TIME_COLUMNS if name in cells), "")
    dollars = cells.get("currency", "USD").strip() in ("USD", "")
    return Row(
        symbol=symbol,
        report_date=reports,
        fiscal_quarter=ends,
        when=when(said),
        eps_estimate=money(cells.get("estimate", "")) if dollars else None,
        company=cells.get("name", "").strip()[:200],
    )
