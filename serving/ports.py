"""What stands between ticks and a model: the Predictor Protocol and its words.

Three backends satisfy it: a remote TF Serving, the embedded server process (the same client,
another address), and the in-process engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

HEADS: tuple[str, ...] = ("p_up", "expected_return", "volatility_ratio", "risk")
"""Columns of a prediction.

``p_up``: probability in [0, 1] that the return over the horizon is positive. ``expected_return``:
in units of the feature window's volatility. ``volatility_ratio``: volatility ahead over volatility
behind, positive. ``risk``: in [0, 1], the predicted probability of a move beyond two sigmas.
"""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One daily context, encoded once for one model version."""

    context_id: int
    """First 8 bytes of the context's digest."""
    version: int
    embedding: Array
    """Shape [E]."""
    bias: Array
    """Shape [H]: the context folded into the first layer's bias."""


class Predictor(Protocol):
    """A model behind any backend. Not safe for concurrent use unless the backend says so."""

    def labels(self) -> Mapping[str, int]:
        """Give the version of each label that serves now ("stable", "canary")."""
        ...

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        """Encode a context vector of shape [C] for one version.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: no such version, or a wrong shape.
        """
        ...

    def predict(self, features: Array, context: Embedded) -> Array:
        """Predict [N, F] tick features under a context: [N, 4], columns as in ``HEADS``.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: wrong shape, or a version that serves no longer.
        """
        ...

    def close(self) -> None:
        """Let go of connections and memory."""
        ...


@runtime_checkable
class LocalPredictor(Predictor, Protocol):
    """A predictor whose weights lie in this process, so that compiled code can run them."""

    def folded(self, context: Embedded) -> Array:
        """Give one version's network under a context: the bias [H], then the packed weights.

        Raises:
            ModelRejected: a version that serves no longer.
        """
        ...
