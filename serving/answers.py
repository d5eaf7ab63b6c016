"""How the ticks of gRPC callers pass a lane: at once, or a step at a time behind a hop.

Above stands ``grpc_service.py``; below the lane. With the model in this process a call is answered
where it stands. With the model behind a hop one step is out at a time, and the calls that come
meanwhile go together with the next one.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from relentless.proto.errors import Unavailable
from relentless.proto.signal import SIGNAL_DTYPE, SIGNAL_SIZE
from relentless.serving.hop import LaneThread
from relentless.serving.pipeline import CAPACITY, Lane
from relentless.serving.wire import mark_replayed

Ticks = npt.NDArray[np.uint8]
Indicators = Sequence[tuple[int, Sequence[float]]]
"""(row, F numbers) that replace a tick's own features."""

WAITING = 16 * CAPACITY
"""Ticks that may wait for a step; a caller beyond that waits before it may hand its own over."""
BACKLOG = 2 * CAPACITY
"""Beyond so many waiting ticks the oldest calls' move the state and are not predicted."""

_HOLD = {
    "action": 0,
    "confidence": 0.0,
    "price_target": 0.0,
    "stop_loss": 0.0,
    "position_size": 0.0,
    "risk_score": 255,
    "urgency": 0,
}
"""A refused result's fields, as ``kernels.finish`` writes them."""


class Answer(NamedTuple):
    """One frame and one reason for each tick, in order."""

    frames: bytes
    reasons: bytes


class Answers(Protocol):
    """What answers ticks."""

    def know(self, count: int) -> None:
        """Take the symbols up to this number as known."""
        ...

    async def answer(self, ticks: Ticks, indicators: Indicators = ()) -> Answer:
        """Answer packed ticks, writable, [N, 48], at most ``CAPACITY``."""
        ...


class AtOnce:
    """Answers where it is asked: the model is in this process."""

    def __init__(self, lane: Lane, now_ns: Callable[[], int], refuse: Callable[[], int]) -> None:
        self._lane = lane
        self._now_ns = now_ns
        self._refuse = refuse

    def know(self, count: int) -> None:
        """Take the symbols up to this number as known."""
        self._lane.know(count)

    async def answer(self, ticks: Ticks, indicators: Indicators = ()) -> Answer:
        """Answer packed ticks, [N, 48]."""
        output = self._lane.process(
            ticks, now_ns=self._now_ns(), refuse=self._refuse, indicators=indicators
        )
        return Answer(output.frames.tobytes(), output.reasons.tobytes())


class _Call(NamedTuple):
    ticks: Ticks
    indicators: Indicators
    answer: asyncio.Future[Answer]


class Batched:
    """Answers one step at a time; whatever waits goes with the next. Used on one event loop."""

    def __init__(
        self, lane: LaneThread, now_ns: Callable[[], int], refuse: Callable[[], int]
    ) -> None:
        self._lane = lane
        self._now_ns = now_ns
        self._refuse = refuse
        self._calls: deque[_Call] = deque()
        self._waiting = 0
        self._out = False
        self._room = asyncio.Event()
        self._room.set()

    def know(self, count: int) -> None:
        """Take the symbols up to this number as known."""
        self._lane.know(count)

    async def answer(self, ticks: Ticks, indicators: Indicators = ()) -> Answer:
        """Answer packed ticks, [N, 48]."""
        while self._waiting + len(ticks) > WAITING:
            self._room.clear()
            await self._room.wait()
        call = _Call(ticks, indicators, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        self._waiting += len(ticks)
        if not self._out:
            self._next()
        return await call.answer

    def _next(self) -> None:
        """Send what waits, up to a step's capacity: whole calls, shed ones by themselves."""
        if not self._calls:
            return
        too_many = self._waiting > BACKLOG
        taken: list[_Call] = []
        count = 0
        while self._calls and count + len(self._calls[0].ticks) <= CAPACITY:
            taken.append(self._calls.popleft())
            count += len(taken[-1].ticks)
        self._waiting -= count
        self._room.set()
        self._out = True
        done = self._lane.submit(self._step, taken, count if too_many else 0)
        loop = asyncio.get_running_loop()

        def ended(step: Future[list[Answer]]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the step
                loop.call_soon_threadsafe(self._done, taken, step)

        done.add_done_callback(ended)

    def _step(self, calls: Sequence[_Call], shed: int) -> list[Answer]:
        """On the lane's thread: take the calls' ticks through it, and cut the output again."""
        indicators: list[tuple[int, Sequence[float]]] = []
        at = 0
        for call in calls:
            indicators += [(at + row, given) for row, given in call.indicators]
            at += len(call.ticks)
        ticks = calls[0].ticks if len(calls) == 1 else np.concatenate([c.ticks for c in calls])
        output = self._lane.process(
            ticks,
            now_ns=self._now_ns(),
            refuse=self._refuse,
            indicators=indicators,
            shed=shed,
        )
        frames, reasons = output.frames.tobytes(), output.reasons.tobytes()
        cut: list[Answer] = []
        at = 0
        for call in calls:
            upto = at + len(call.ticks)
            cut.append(Answer(frames[at * SIGNAL_SIZE : upto * SIGNAL_SIZE], reasons[at:upto]))
            at = upto
        return cut

    def _done(self, calls: Sequence[_Call], ended: Future[list[Answer]]) -> None:
        """On the event loop: give every caller its own, and send what came meanwhile."""
        self._out = False
        error = ended.exception()
        answers = [None] * len(calls) if error is not None else ended.result()
        why = int(self._refuse())
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():  # its caller has gone
                continue
            if answer is not None:
                call.answer.set_result(_held(answer, why) if why else answer)
            else:
                call.answer.set_exception(error or Unavailable("the step gave no answer"))
        self._next()


def _held(answer: Answer, why: int) -> Answer:
    """Make what passed a hold without size or levels: the lease ended while the step was out."""
    frames, reasons = bytearray(answer.frames), bytearray(answer.reasons)
    table = np.frombuffer(frames, SIGNAL_DTYPE)
    passed = np.frombuffer(reasons, np.uint8) == 0
    for field, value in _HOLD.items():
        table[field][passed] = value
    mark_replayed(np.frombuffer(frames, np.uint32).reshape(-1, SIGNAL_SIZE // 4), 0)  # seals anew
    np.frombuffer(reasons, np.uint8)[passed] = why
    return Answer(bytes(frames), bytes(reasons))
