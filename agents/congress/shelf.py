"""What the agent keeps between runs: the list as last synced, and the facts of single bills.

Each file is written beside its place and moved into it, so that a crash leaves the old or the new.
Nothing is forced to disk: a file that a power cut damaged does not parse, counts as absent and is
fetched again, and an older one is caught up with. What one upstream said never mixes with
another's: the folder's name holds a digest of the upstream's identity.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from relentless.agents.congress.reading import Facts, Listed
from relentless.proto.messages import Evidence

FORMAT = 2

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Synced:
    """The list of one Congress's law-capable bills after a whole sync."""

    as_of: datetime
    """The run's moment."""
    through: date
    """The newest day of an ``updateDate`` in it."""
    bills: dict[str, Listed]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Kept:
    """One bill's facts, the version of the list item that they belong to, and their evidence."""

    version: str
    facts: Facts
    evidence: tuple[Evidence, ...]
    format: int = FORMAT


_SYNCED = TypeAdapter(Synced)
_KEPT = TypeAdapter(Kept)


class Shelf:
    """The files of one Congress under the agent's state folder."""

    def __init__(self, state: Path, congress: int, upstream: str) -> None:
        """Name the folder; ``upstream`` is whatever tells one upstream from another."""
        digest = hashlib.sha256(upstream.encode()).hexdigest()[:12]
        self._folder = state / f"{congress}-{digest}"

    def synced(self) -> Synced | None:
        """Give the list after the last whole sync, or None."""
        return self._read(_SYNCED, self._folder / "list.json")

    def keep_synced(self, synced: Synced) -> None:
        """Keep the list."""
        self._write(_SYNCED, self._folder / "list.json", synced)

    def kept(self, listed: Listed) -> Kept | None:
        """Give the facts of a bill, where its list item has not changed since."""
        kept: Kept | None = self._read(_KEPT, self._bill(listed))
        return kept if kept is not None and kept.version == listed.version else None

    def keep(self, listed: Listed, kept: Kept) -> None:
        """Keep a bill's facts."""
        self._write(_KEPT, self._bill(listed), kept)

    def _bill(self, listed: Listed) -> Path:
        return self._folder / "bills" / f"{listed.bill_id}.json"

    @staticmethod
    def _read(adapter: TypeAdapter[_T], path: Path) -> _T | None:
        with contextlib.suppress(OSError, ValidationError):
            value = adapter.validate_json(path.read_bytes())
            if getattr(value, "format", None) == FORMAT:
                return value
        return None

    @staticmethod
    def _write(adapter: TypeAdapter[Any], path: Path, value: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        beside.write_bytes(adapter.dump_json(value))
        beside.replace(path)
