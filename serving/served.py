"""The model as the model servers serve it, for the tick path: labels known without asking.

``balanced.py`` below asks the servers; the engine in this process is the edge behind them. A
:class:`HopModel` is one lane's view, and notes which versions another site answered for.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from relentless.proto.errors import ModelError, ModelInvalid
from relentless.serving.balanced import BalancedPredictor
from relentless.serving.engine import InProcessEngine
from relentless.serving.ports import Array, Embedded


class ServedModel:
    """Implements ``ports.Predictor``; ``relabel`` takes over new labels, as the engine's does."""

    def __init__(self, servers: BalancedPredictor, edge: InProcessEngine | None) -> None:
        """Ask nobody yet; the labels are the edge's until somebody says others."""
        self.servers = servers
        self._edge = edge
        self._labels: Mapping[str, int] = dict(edge.labels()) if edge else {}

    def labels(self) -> Mapping[str, int]:
        """Give the version of each label, as it was last taken over."""
        return self._labels

    def relabel(self, labels: Mapping[str, int]) -> Mapping[str, int]:
        """Take over what the labels name; give those that now hold.

        Raises:
            ModelInvalid: nothing is labelled stable.
        """
        if "stable" not in labels:
            raise ModelInvalid("no version has the label stable; everything stays as it was")
        if self._edge is not None:
            # What the edge refuses the servers may have; without them nothing answers for it.
            with contextlib.suppress(ModelError):
                self._edge.relabel(labels)
        self._labels = dict(labels)
        return self._labels

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        """Encode a context vector of shape [C] for one version."""
        return self.servers.encode(context_vector, context_id, version)

    def predict(self, features: Array, context: Embedded) -> Array:
        """Predict [N, F] tick features: [N, 4]."""
        return self.servers.predict(features, context)

    def report(self) -> dict[str, Any]:
        """Give what an operator wants to know of the servers."""
        return self.servers.report()

    def close(self) -> None:
        """Close every connection."""
        self.servers.close()


class HopModel:
    """One lane's view of the served model; implements ``ports.Predictor``. For one thread."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self.elsewhere: set[int] = set()
        """Versions that another site than the first answered for, since this was emptied."""

    def labels(self) -> Mapping[str, int]:
        """Give the version of each label, without asking a server."""
        return self._served.labels()

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        """Encode a context vector of shape [C] for one version."""
        return self._served.encode(context_vector, context_id, version)

    def predict(self, features: Array, context: Embedded) -> Array:
        """Predict [N, F] tick features: [N, 4]."""
        answer = self._served.servers.answer(features, context)
        if answer.failover:
            self.elsewhere.add(context.version)
        return answer.heads

    def close(self) -> None:
        """Whoever made the served model closes it."""
