"""A lane whose model lies behind a hop: on a thread of its own, one request in flight.

The event loop never waits for a model server. Everything that touches the lane happens on its
thread, in order: steps, contexts, symbols, holds. ``hop_path.py`` and ``answers.Batched`` above
send steps; ``served.py`` below asks the servers.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from relentless.proto.signal import SIGNAL_DTYPE, Flag
from relentless.serving.gates import Reason
from relentless.serving.pipeline import ActiveContext, Lane, Output
from relentless.serving.served import HopModel
from relentless.serving.wire import mark_replayed as mark

P = ParamSpec("P")
R = TypeVar("R")


class LaneThread:
    """A lane and its thread. The methods may be called from any thread; none of them waits."""

    def __init__(self, lane: Lane, model: HopModel) -> None:
        """Take a lane that predicts with ``model``."""
        self.lane = lane
        self._model = model
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lane")

    def submit(self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Do something with the lane after everything that was asked before."""
        return self._pool.submit(job, *args, **kwargs)

    def know(self, count: int) -> None:
        """Take the symbols up to this number as known."""
        self.submit(self.lane.know, count)

    def hold(self, symbol: int, held: bool) -> None:
        """Refuse a symbol's results while its trading is halted."""
        self.submit(self.lane.hold, symbol, held)

    def use(self, active: ActiveContext | None) -> None:
        """Join every later tick to this context."""
        self.submit(self.lane.use, active)

    def share(self, canary: float) -> None:
        """Send this share of the symbol-minutes to the canary."""
        self.submit(setattr, self.lane, "canary_share", canary)

    def process(self, ticks: npt.NDArray[np.uint8], **options: Any) -> Output:
        """Take a step, on the lane's thread alone: what another site predicted is marked."""
        self._model.elsewhere.clear()
        output = self.lane.process(ticks, **options)
        if self._model.elsewhere:
            _mark(output, self._model.elsewhere)
        return output

    def close(self) -> None:
        """End the thread after what it was asked; a request that is out has its deadline."""
        self._pool.shutdown(wait=True)


def _mark(output: Output, versions: set[int]) -> None:
    """Set the failover flag where one of these versions was asked, and seal those frames again."""
    version = output.frames.reshape(-1).view(SIGNAL_DTYPE)["model_version"]
    asked = (output.reasons == Reason.PASSED) | (output.reasons >= Reason.BAD_OUTPUT)
    rows = np.flatnonzero(asked & np.isin(version, list(versions)))
    words = output.frames.view(np.uint32)
    marked = words[rows]
    mark(marked, int(Flag.FAILOVER))
    words[rows] = marked
