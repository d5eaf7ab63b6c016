"""What the agent keeps between runs: every filing that it read, and which days it has been through.

``reports.jsonl`` grows by a line a filing, so that no document is fetched twice; what an insider
did in earlier years is read from the same table. A line that a crash cut does not parse, counts as
absent, and its filing is fetched again. The folder's name holds a digest of the upstream's
identity: what one said never mixes with another's.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from relentless.agents.insider.trades import Report

MAX_REPORTS: Final = 60_000
"""Lines kept; beyond them the oldest without trades go first, then the oldest."""
KEPT: Final = timedelta(days=4 * 366)
"""The three years before this one, and this one."""
_REPORT: Final = TypeAdapter(Report)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the market has been read."""

    days: dict[date, int] = field(default_factory=dict)
    """The days whose index was read whole, with their number of Forms 4."""
    feed_read_to: datetime | None = None
    """The moment of the last run that read the feed whole."""


_PROGRESS: Final = TypeAdapter(Progress)


class Shelf:
    """The files of one upstream under the agent's state folder. Blocking: use a thread."""

    def __init__(self, state: Path, upstream: str) -> None:
        """Name the folder; ``upstream`` is whatever tells one upstream from another."""
        folder = state / hashlib.sha256(upstream.encode()).hexdigest()[:12]
        self._table = folder / "reports.jsonl"
        self._progress = folder / "progress.json"

    def reports(self) -> dict[str, Report]:
        """Give what is kept, by accession."""
        found: dict[str, Report] = {}
        with contextlib.suppress(OSError), self._table.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValidationError):
                    report = _REPORT.validate_json(line)
                    found[report.accession] = report
        return found

    def add(self, reports: Iterable[Report]) -> None:
        """Append what was read."""
        lines = b"".join(_REPORT.dump_json(_light(report)) + b"\n" for report in reports)
        if lines:
            self._table.parent.mkdir(parents=True, exist_ok=True)
            with self._table.open("ab") as table:
                # A line that was cut before is ended first: it must not take the next one with it.
                table.write(b"\n" + lines if table.tell() else lines)

    def prune(self, reports: Mapping[str, Report], as_of: datetime) -> dict[str, Report]:
        """Drop what is older than the classes need, or too much; give what is left."""
        kept = [report for report in reports.values() if report.known_at > as_of - KEPT]
        if len(kept) > MAX_REPORTS:
            kept.sort(key=lambda report: (bool(report.rows), report.known_at), reverse=True)
            kept = kept[: MAX_REPORTS * 9 // 10]
        if len(kept) < len(reports):
            body = b"".join(_REPORT.dump_json(_light(report)) + b"\n" for report in kept)
            self._replace(self._table, body)
        return {report.accession: report for report in kept}

    def progress(self) -> Progress:
        """Give how far the market has been read."""
        with contextlib.suppress(OSError, ValidationError):
            return _PROGRESS.validate_json(self._progress.read_bytes())
        return Progress()

    def keep_progress(self, progress: Progress) -> None:
        """Keep how far the market has been read."""
        self._replace(self._progress, _PROGRESS.dump_json(progress))

    @staticmethod
    def _replace(path: Path, body: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_bytes(body)
        beside.replace(path)


def _light(report: Report) -> Report:
    """Leave out what nobody asks of a filing without trades."""
    if report.rows or report.amends:
        return report
    return replace(report, owners=(), days=(), issuer_name="", url="", sha256="")
