"""Upstream bodies kept in memory, so that one that is unchanged is not sent again.

Every request asks the source (:mod:`relentless.agents.http`): a kept body is used only where the
source says 304, never by its age, because a day may run at any speed. Nothing reaches a disk: what
a body is kept under holds the credential.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """A body with the headers that it came with."""

    headers: dict[str, str]
    body: bytes

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the body only where it has changed (RFC 9110, section 13)."""
        asked = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        return {name: self.headers[said] for name, said in asked if said in self.headers}

    def confirmed(self, headers: Mapping[str, str]) -> "Kept":
        """Give the same body with what a 304 says anew."""
        return Kept({**self.headers, **_lower(headers)}, self.body)


class Bodies:
    """The least recently used go first. At most ``max_bytes``, a single body an eighth of that."""

    def __init__(self, max_bytes: int = 32 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, key: str) -> Kept | None:
        """Give what is kept under a request's key."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def keep(self, key: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep an answer that the source can confirm later; forget any older one."""
        if (old := self._kept.pop(key, None)) is not None:
            self._bytes -= len(old.body)
        kept = Kept(_lower(headers), body)
        storable = "no-store" not in kept.headers.get("cache-control", "").lower()
        if not kept.conditions or not storable or len(body) > self._max_bytes // 8:
            return
        self._kept[key] = kept
        self._bytes += len(body)
        while self._bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
