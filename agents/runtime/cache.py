"""Upstream answers kept in memory, for hishel: a small least-recently-used storage.

hishel's own file storages write whole requests, and a request may carry a key; this one keeps
them in memory only. Every request asks for revalidation (:mod:`relentless.agents.http`), so what
lies here only ever saves a body that the source says is unchanged.
"""

import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from hishel import AsyncBaseStorage, Entry, Headers, Request, Response


@dataclass(slots=True)
class _Kept:
    id: uuid.UUID
    request: Request
    response: Response
    body: bytes


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


class MemoryStorage(AsyncBaseStorage):
    """At most ``max_bytes`` of bodies, each at most an eighth of that."""

    def __init__(self, max_bytes: int = 32 * 2**20) -> None:
        super().__init__(max_stream_size=max_bytes // 8)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        """By key, the least recently used first."""
        self._keys: dict[uuid.UUID, str] = {}

    async def create_entry(
        self,
        request: Request,
        response: Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> Entry:
        """Give an entry whose stream keeps the body once it was read to its end."""
        del ttl, tti  # every use is revalidated, so age does not matter
        entry_id = uuid.uuid4()
        saving = self._save(entry_id, request, response, key)
        return Entry(id=entry_id, request=request, response=replace(response, stream=saving))

    async def _save(
        self, entry_id: uuid.UUID, request: Request, response: Response, key: str
    ) -> AsyncIterator[bytes]:
        limit = self.max_stream_size or 0
        body: bytearray | None = bytearray()
        stream = response.stream
        if isinstance(stream, AsyncIterator):
            async for chunk in stream:
                if body is not None and len(body) + len(chunk) <= limit:
                    body += chunk
                else:
                    body = None
                yield chunk
        if body is not None:
            self._forget(key)
            self._kept[key] = _Kept(entry_id, request, replace(response, stream=None), bytes(body))
            self._keys[entry_id] = key
            self._bytes += len(body)
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        if kept := self._kept.pop(key, None):
            self._bytes -= len(kept.body)
            del self._keys[kept.id]

    async def get_entries(self, key: str) -> list[Entry]:
        """Give the entry under ``key``, if there is one."""
        kept = self._kept.get(key)
        if kept is None:
            return []
        self._kept.move_to_end(key)
        response = replace(kept.response, stream=_once(kept.body))
        return [Entry(id=kept.id, request=kept.request, response=response)]

    async def update_headers(self, id: uuid.UUID, headers: Headers) -> None:
        """Replace the headers of an entry, where it is still there."""
        if key := self._keys.get(id):
            kept = self._kept[key]
            kept.response = replace(kept.response, headers=headers)

    async def remove_entry(self, id: uuid.UUID) -> None:
        """Forget an entry."""
        if key := self._keys.get(id):
            self._forget(key)
