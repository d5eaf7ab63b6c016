"""The open streams of the gRPC server: how they wait, how they write, and how they end.

A stream that waits for its caller is ended at once when the server ends; one that is answering
first writes what it has. A caller that does not read holds up its own stream alone, and not for
ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")

STALL_S = 10.0
"""How long a write may wait for a caller that does not read; half as much more at most."""
ABORT_S = 0.5
"""How long a status may take to leave after that."""


class Draining(Exception):
    """The server ends, so nothing more is read."""


class Streams:
    """Shared by every stream of a service. ``stalled`` counts those that were cut."""

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._idle: set[asyncio.Task[Any]] = set()
        self._writing: dict[asyncio.Task[Any], float] = {}
        self._watch: asyncio.TimerHandle | None = None
        self.draining = False
        self.stalled = 0

    @property
    def busy(self) -> int:
        """How many streams wait or write now."""
        return len(self._idle) + len(self._writing)

    async def open(self, context: Context) -> None:
        """Begin a stream: with its metadata sent, a status can follow a write that was cut."""
        await context.send_initial_metadata(())

    async def wait(self, begin: Callable[[], Awaitable[T]]) -> T:
        """Wait for something that a caller or the feed brings.

        Raises:
            Draining: the server ends.
        """
        if self.draining:
            raise Draining
        task = own_task()
        self._idle.add(task)
        try:
            return await begin()
        except asyncio.CancelledError:
            if not self.draining:
                raise
            task.uncancel()
            raise Draining from None
        finally:
            self._idle.discard(task)

    async def write(self, context: Context, message: Any) -> None:
        """Write one message, when the caller has room for it.

        A caller without room for too long loses the stream: RESOURCE_EXHAUSTED.
        """
        task = own_task()
        loop = asyncio.get_running_loop()
        self._writing[task] = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(self._stall_s / 2, self._look)
        try:
            await context.write(message)
        except grpc.aio.InternalError:  # the caller has gone while it was written to
            raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            if task in self._writing:  # not by us
                raise
            task.uncancel()
            await self._cut(context)
        finally:
            self._writing.pop(task, None)

    def _look(self) -> None:
        """Cut what has been writing for too long. One timer for all: one a write costs more."""
        loop = asyncio.get_running_loop()
        self._watch = None
        for task, since in tuple(self._writing.items()):
            if loop.time() - since >= self._stall_s:
                del self._writing[task]
                task.cancel()
        if self._writing:
            self._watch = loop.call_later(self._stall_s / 2, self._look)

    async def _cut(self, context: Context) -> NoReturn:
        self.stalled += 1
        await _abort(
            context,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"nothing was read for {self._stall_s:g} s; open a new stream from the first tick "
            "without a result, or from the next sequence, and keep reading",
        )

    async def end(self, context: Context) -> NoReturn:
        """End a stream because the server ends."""
        await _abort(
            context,
            grpc.StatusCode.UNAVAILABLE,
            "this predictor is ending; go on at another one, from the first tick without a result",
        )

    def drain(self) -> None:
        """End every stream that waits, and the others after what they are writing."""
        self.draining = True
        for task in tuple(self._idle):
            task.cancel()


async def _abort(context: Context, code: grpc.StatusCode, said: str) -> NoReturn:
    """End a call; the status of one whose caller does not read is left to gRPC."""
    try:
        async with asyncio.timeout(ABORT_S):
            await context.abort(code, said)
    except (TimeoutError, grpc.aio.InternalError):
        raise asyncio.CancelledError from None
    raise AssertionError("abort returned")


def own_task() -> asyncio.Task[Any]:
    """Give the task that the caller runs in: a gRPC call's own.

    Raises:
        RuntimeError: there is none.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a gRPC call runs in a task")
    return task
