"""One call while it waits for its batch, and the parts that it is in batches with.

Between ``session.py``, which makes a request and waits for it, and ``scheduler.py``, which
holds its parts and may split them.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Self

from relentless.serving.model_server.batching.tensors import Feeds, cut, join
from relentless.serving.model_server.codes import DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor

WAIT_S = 300.0
"""The longest that a caller without a deadline waits, and any caller for a batch that runs."""

Outputs = dict[str, RawTensor]
"""Tensors by graph name."""


class Part:
    """The rows of one request that are in one batch: all of them, unless it was split."""

    def __init__(self, request: "Request", feeds: Feeds, rows: int) -> None:
        self.feeds = feeds
        self.rows = rows
        self.queued = time.monotonic()
        self.answer: Future[Outputs] = Future()
        self.request = request

    def split(self, sizes: Sequence[int]) -> list[Self]:
        """Give parts of these sizes in place of this one."""
        pieces = {name: cut(tensor, sizes) for name, tensor in self.feeds.items()}
        parts = [
            type(self)(self.request, {name: piece[at] for name, piece in pieces.items()}, size)
            for at, size in enumerate(sizes)
        ]
        self.request.parts = list(parts)
        return parts

    def begin(self, now: float) -> bool:
        """Say that a batch with this part runs; False where nobody waits for it any more."""
        if not self.answer.set_running_or_notify_cancel():
            return False
        if now >= self.request.end:
            self.fail(expired())
            return False
        return True

    def fail(self, error: TFError) -> None:
        """Answer with an error, each caller with its own."""
        with suppress(InvalidStateError):
            self.answer.set_exception(TFError(error.code, str(error)))


class Request:
    """One call of ``run`` while it waits."""

    def __init__(self, feeds: Feeds, rows: int, timeout_s: float | None) -> None:
        self.limited = timeout_s is not None
        self.end = time.monotonic() + (WAIT_S if timeout_s is None else min(timeout_s, WAIT_S))
        self.parts = [Part(self, feeds, rows)]

    def outputs(self) -> Outputs:
        """Wait for every part and put the answers together.

        Raises:
            TFError: the first failure; RESOURCE_EXHAUSTED where the deadline came in the queue.
        """
        try:
            answers = [self._wait(part) for part in self.parts]
        finally:
            for part in self.parts:
                part.answer.cancel()
        if len(answers) == 1:
            return answers[0]
        return {name: join([answer[name] for answer in answers]) for name in answers[0]}

    def _wait(self, part: Part) -> Outputs:
        try:
            return part.answer.result(max(0.0, self.end - time.monotonic()))
        except TimeoutError:
            if part.answer.cancel():
                raise expired() from None
        try:
            return part.answer.result(WAIT_S)
        except TimeoutError:
            raise TFError(DEADLINE_EXCEEDED, "The batch of this request did not end") from None


def expired() -> TFError:
    """Give the refusal of a request whose deadline came before its batch ran."""
    return TFError(RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
