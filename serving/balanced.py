"""One model behind several servers: spread, failed over, and never a mix of two models.

Implements ``ports.Predictor`` over ``sites.py``: the servers of the first site share the load,
those of the next take over when the first has none left, and the engine in this process (the edge)
comes last where there is one. A request has one deadline for all its attempts, and every further
attempt comes from a budget. A context is encoded by the server that uses it, and a server whose
encoding of a version differs from the engine's (or, without one, from the first server's) holds
another model under that number: it is set aside. Safe for concurrent use.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import structlog

from relentless.models.feature_spec import LIMIT, TICK_FEATURES
from relentless.proto.errors import ModelError, ModelInvalid, ModelRejected, ModelUnavailable
from relentless.serving.budget import RetryBudget
from relentless.serving.parity import TOLERANCE, difference
from relentless.serving.ports import Array, Embedded, Predictor
from relentless.serving.prober import Prober
from relentless.serving.sites import Endpoint, Site, Sites
from relentless.serving.tf_client import Refused

R = TypeVar("R")

PRIMARY, SECONDARY, EDGE = "primary", "secondary", "edge"
CONTEXTS = 16
"""Encoded contexts that are remembered, the newest ones."""
PROBE_S = 1.0
"""A probe's deadline, at most."""

_log = structlog.get_logger(__name__)


class Backend(Protocol):
    """A model that can be asked with a deadline."""

    def labels(self, timeout_s: float | None = None) -> Mapping[str, int]:
        """Give the version of each label."""
        ...

    def encode(
        self, context_vector: Array, context_id: int, version: int, timeout_s: float | None = None
    ) -> Embedded:
        """Encode a context vector."""
        ...

    def predict(self, features: Array, context: Embedded, timeout_s: float | None = None) -> Array:
        """Predict rows."""
        ...

    def healthy(self, timeout_s: float | None = None) -> bool:
        """Say whether it serves."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Local:
    """A predictor in this process as a backend: it needs no deadline."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def labels(self, timeout_s: float | None = None) -> Mapping[str, int]:
        """Give the version of each label."""
        return self._predictor.labels()

    def encode(
        self, context_vector: Array, context_id: int, version: int, timeout_s: float | None = None
    ) -> Embedded:
        """Encode a context vector."""
        return self._predictor.encode(context_vector, context_id, version)

    def predict(self, features: Array, context: Embedded, timeout_s: float | None = None) -> Array:
        """Predict rows."""
        return self._predictor.predict(features, context)

    def healthy(self, timeout_s: float | None = None) -> bool:
        """It is in this process."""
        return True

    def close(self) -> None:
        """Whoever made the predictor closes it."""


class Answer(NamedTuple):
    """Heads, and whether another site than the first gave them."""

    heads: Array
    failover: bool


class _Known:
    """A context for one version: its vector, the reference encoding, and each server's own."""

    def __init__(self, vector: Array, reference: Embedded) -> None:
        self.vector = vector
        self.reference = reference
        self.own: dict[Endpoint[Backend], Embedded] = {}


class BalancedPredictor:
    """A predictor over sites of servers.

    Args:
        sites: names and backends by address, in the order of preference.
        edge: the predictor in this process that answers when no server does.
        timeout_s: the deadline of a request, all attempts together.
        budget: what further attempts are taken from.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sites: Sequence[tuple[str, Mapping[str, Backend]]],
        *,
        edge: Predictor | None = None,
        timeout_s: float = 1.0,
        budget: RetryBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        made = [
            Site(name, [Endpoint(address, backend) for address, backend in servers.items()])
            for name, servers in sites
            if servers
        ]
        if edge is not None:
            made.append(Site(EDGE, [Endpoint(EDGE, Local(edge), local=True)]))
        self.timeout_s = timeout_s
        self.budget = budget or RetryBudget()
        self.failed_over = 0
        """Answers that came from another site than the first."""
        self._clock = clock
        self._edge = edge
        self._prober: Prober[Backend]
        self.sites: Sites[Backend] = Sites(made, clock=clock, changed=lambda: self._prober.wake())
        self._prober = Prober(self.sites, self._probe, self._returned)
        self._contexts: dict[tuple[int, int], _Known] = {}
        self._labels: Mapping[str, int] = {}
        self._lock = threading.Lock()

    def labels(self) -> Mapping[str, int]:
        """Give the version of each label, as the first site has them.

        While the first site is away the last ones known hold: its lifecycle sets the labels.

        Raises:
            ModelUnavailable: no server has ever said.
            ModelRejected: the servers do not know the model.
        """
        away = self.sites.sites[0].left
        if away and self._labels:
            return self._labels
        found, site = self._ask(lambda endpoint, left: endpoint.model.labels(left), None)
        if site == 0 or not self._labels:
            self._labels = found
        return self._labels

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        """Encode a context vector of shape [C] for one version, and remember it.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: no such version, or a wrong shape.
            ModelInvalid: an answer that is none.
        """
        key = context_id, version
        known = self._contexts.get(key)
        if known is not None and np.array_equal(known.vector, context_vector):
            self._remember(key, known)
            return known.reference
        vector = np.array(context_vector, np.float32)
        own: dict[Endpoint[Backend], Embedded] = {}

        def encode(endpoint: Endpoint[Backend], left: float | None) -> Embedded:
            own[endpoint] = _sound(endpoint.model.encode(vector, context_id, version, left))
            return own[endpoint]

        # The engine's encoding is the reference where there is one: its weights were proved.
        reference = self._at_edge(vector, context_id, version) or self._ask(encode, version)[0]
        known = _Known(vector, reference)
        known.own.update((e, got) for e, got in own.items() if got is reference)
        self._remember(key, known)
        return reference

    def predict(self, features: Array, context: Embedded) -> Array:
        """Predict [N, F] tick features under a context that was encoded here: [N, 4].

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: wrong shape, or a version or context that is not known.
            ModelInvalid: only answers that are none.
        """
        return self.answer(features, context).heads

    def answer(self, features: Array, context: Embedded) -> Answer:
        """Predict like :meth:`predict`, and say whether another site than the first answered."""
        known = self._contexts.get((context.context_id, context.version))
        if known is None:
            raise ModelRejected("this context is not known here any more: encode it again")

        def predict(endpoint: Endpoint[Backend], left: float | None) -> Array:
            return self._predict(endpoint, known, features, left)

        heads, site = self._ask(predict, context.version)
        if site > 0:
            with self._lock:
                self.failed_over += 1
        return Answer(heads, site > 0)

    def report(self) -> dict[str, Any]:
        """Give what an operator wants to know."""
        sites = self.sites
        return {
            "site": sites.current.name,
            "failovers": sites.failovers,
            "returns": sites.returns,
            "answers_elsewhere": self.failed_over,
            "retries": self.budget.taken,
            "retries_withheld": self.budget.withheld,
            "servers": {
                e.address: {"up": e.up, "answered": e.answered, "failed": e.failed}
                for site in sites.sites
                for e in site.endpoints
            },
        }

    def close(self) -> None:
        """End the prober and close every connection."""
        for site in self.sites.sites:
            for endpoint in site.endpoints:
                endpoint.model.close()
        self._prober.close()

    def _remember(self, key: tuple[int, int], known: _Known) -> None:
        """Keep a context as the newest, so that one in use is never the oldest."""
        with self._lock:
            self._contexts.pop(key, None)
            self._contexts[key] = known
            while len(self._contexts) > CONTEXTS:
                del self._contexts[next(iter(self._contexts))]

    def _at_edge(self, vector: Array, context_id: int, version: int) -> Embedded | None:
        if self._edge is None:
            return None
        try:
            return self._edge.encode(vector, context_id, version)
        except ModelError:  # it lacks the version
            return None

    def _ask(
        self, work: Callable[[Endpoint[Backend], float | None], R], version: int | None
    ) -> tuple[R, int]:
        """Ask one server after the other within the deadline; give the answer and its site."""
        end = self._clock() + self.timeout_s
        tried: set[Endpoint[Backend]] = set()
        self.budget.request()
        last: Exception = ModelUnavailable("no model server is left to ask")
        allowed = True
        while (endpoint := self.sites.take(tried, version)) is not None:
            left = end - self._clock()
            if tried and not endpoint.local:
                allowed = allowed and left > 0 and self.budget.take()
                if not allowed:
                    self.sites.give(endpoint, None)
                    tried.add(endpoint)
                    continue
            tried.add(endpoint)
            # Half of the time, so that a server which hangs leaves time for another one.
            share = left / 2 if self.sites.others(tried, version) else left
            good: bool | None = None
            try:
                answer = work(endpoint, None if endpoint.local else share)
                good = True
                return answer, endpoint.site
            except Refused as error:
                if not error.elsewhere:
                    raise
                if version is not None:
                    self.sites.lacking(endpoint, version)
                last = error
            except ModelUnavailable as error:
                good, last = False, error
            except ModelInvalid as error:
                good, last = self._blame(endpoint, version, error), error
            finally:
                aside = self.sites.give(endpoint, good)
            if aside:
                _log.warning(
                    "model server set aside",
                    address=endpoint.address,
                    error=str(last),
                    asked_now=self.sites.current.name,
                )
        raise last

    def _blame(
        self, endpoint: Endpoint[Backend], version: int | None, error: ModelInvalid
    ) -> bool | None:
        """Say how a server did that gave nonsense: badly, or the version alone is to blame."""
        if not self.sites.nonsense(endpoint, version):
            return False
        _log.warning(
            "version set aside", address=endpoint.address, version=version, error=str(error)
        )
        return None

    def _predict(
        self, endpoint: Endpoint[Backend], known: _Known, features: Array, left: float | None
    ) -> Array:
        end = None if left is None else self._clock() + left
        own = known.own.get(endpoint) or self._own(endpoint, known, left)
        if end is not None:
            left = max(end - self._clock(), 0.001)
        heads = endpoint.model.predict(features, own, left)
        finite = np.isfinite(heads).all(axis=1)
        # Only a row within the features' own range says something about the server: callers may
        # give any number, and a large one overflows in a good model too.
        if not finite.all() and (np.abs(features[~finite]) <= LIMIT).all(axis=1).any():
            raise ModelInvalid(f"{endpoint.address} answers sound features with NaN or infinity")
        if finite.any():
            self.sites.proved(endpoint, own.version)
        return heads

    def _own(self, endpoint: Endpoint[Backend], known: _Known, left: float | None) -> Embedded:
        """Encode a context at one server, and hold it against the reference."""
        reference = known.reference
        version = reference.version
        own = endpoint.model.encode(known.vector, reference.context_id, version, left)
        for ours, theirs in ((own.embedding, reference.embedding), (own.bias, reference.bias)):
            if difference(ours, theirs) > TOLERANCE:
                raise ModelInvalid(f"{endpoint.address} has another model as version {version}")
        known.own[endpoint] = own
        return own

    def _probe(self, endpoint: Endpoint[Backend]) -> bool:
        """Say whether a server is well: by its own word, and by what it answers."""
        left = min(self.timeout_s, PROBE_S)
        try:
            if not endpoint.model.healthy(left):
                return False
            with self._lock:
                newest = list(self._contexts.values())[-2:]
            unsound: ModelInvalid | None = None
            well = False
            for known in newest:
                known.own.pop(endpoint, None)
                try:
                    well |= self._probe_with(endpoint, known, left)
                except ModelInvalid as error:
                    unsound = error
            if unsound is not None and not well:  # with no version an answer that is one
                raise unsound
        except Exception as error:  # whatever it is, the thread goes on
            _log.info("model server not well", address=endpoint.address, error=str(error)[:200])
            return False
        return True

    def _returned(self, endpoint: Endpoint[Backend]) -> None:
        _log.info(
            "model server up again",
            address=endpoint.address,
            asked_now=self.sites.current.name,
        )

    def _probe_with(self, endpoint: Endpoint[Backend], known: _Known, left: float) -> bool:
        """Predict with one version; say whether the server has it."""
        try:
            own = self._own(endpoint, known, left)
            _finite(
                endpoint.model.predict(np.zeros((1, len(TICK_FEATURES)), np.float32), own, left)
            )
        except Refused as error:
            if not error.elsewhere:
                raise
            return False
        self.sites.proved(endpoint, own.version)
        return True


def _sound(embedded: Embedded) -> Embedded:
    for array in (embedded.embedding, embedded.bias):
        _finite(array)
    return embedded


def _finite(array: Array) -> None:
    if not np.isfinite(array).all():
        raise ModelInvalid("an answer holds NaN or infinity")
