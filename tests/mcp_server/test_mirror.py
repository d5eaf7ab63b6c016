"""The online store follows the newest context, and nothing follows it into failure."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from relentless.mcp_server import mirror as module
from relentless.mcp_server.mirror import Mirror
from relentless.proto.daily import DailyContext
from relentless.proto.errors import Unavailable


def context(number: int) -> DailyContext:
    moment = datetime(2013, 10, 7, 9, 30, tzinfo=UTC)
    return DailyContext(
        as_of=moment,
        trading_date=moment.date(),
        context_id=f"{number:064x}",
        fold_version=1,
        head=number,
        provenance={},
    )


class Away:
    """A store that may be away, and forgets when it comes back."""

    def __init__(self) -> None:
        self.away = False
        self.held: DailyContext | None = None
        self.asked = 0
        self._put: DailyContext | None = None

    def _use(self) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable("away")

    async def put_context(self, context: DailyContext) -> None:
        self._use()
        self._put = self.held = context

    async def get_context(self) -> DailyContext | None:
        self._use()
        if self.held is None:
            self.held = self._put
        return self.held

    def watch(self) -> AsyncIterator[DailyContext]:
        raise NotImplementedError

    async def close(self) -> None:
        self.held = None


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - plain state, no event to wait for
            await asyncio.sleep(0)


async def test_what_could_not_be_put_comes_later_and_what_was_lost_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S", "LOOK_EVERY_S"):
        monkeypatch.setattr(module, name, 0.001)
    newest = context(1)
    store = Away()
    mirror = Mirror(store, lambda: newest)
    running = asyncio.create_task(mirror.run())
    await until(lambda: store.held is newest)
    store.away, newest = True, context(2)
    mirror.on_changed()
    asked = store.asked
    await until(lambda: store.asked >= asked + 3)
    assert not running.done()
    store.away = False
    await until(lambda: store.held is newest)
    store.held = None
    await until(lambda: store.held is newest)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
