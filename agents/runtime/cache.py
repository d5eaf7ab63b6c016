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
    key: str
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
        self._kept: OrderedDict[uuid.UUID, _Kept] = OrderedDict()

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
            self._forget([i for i, kept in self._kept.items() if kept.key == key])
            kept = _Kept(key, request, replace(response, stream=None), bytes(body))
            self._kept[entry_id] = kept
            self._bytes += len(kept.body)
            while self._bytes > self._max_bytes:
                self._forget([next(iter(self._kept))])

    def _forget(self, ids: list[uuid.UUID]) -> None:
        for entry_id in ids:
            if kept := self._kept.pop(entry_id, None):
                self._bytes -= len(kept.body)

    async def get_entries(self, key: str) -> list[Entry]:
        """Give the entry under ``key``, if there is one."""
        found = [(i, kept) for i, kept in self._kept.items() if kept.key == key]
        for entry_id, _ in found:
            self._kept.move_to_end(entry_id)
        return [
            Entry(id=i, request=k.request, response=replace(k.response, stream=_once(k.body)))
            for i, k in found
        ]

    async def update_headers(self, id: uuid.UUID, headers: Headers) -> None:
        """Replace the headers of an entry, where it is still there."""
        if kept := self._kept.get(id):
            kept.response = replace(kept.response, headers=headers)

    async def remove_entry(self, id: uuid.UUID) -> None:
        """Forget an entry."""
        self._forget([id])
