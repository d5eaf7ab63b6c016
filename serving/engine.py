"""The in-process engine: the same model versions as the model server's, without the hop.

It reads ``assets.extra/weights.npz`` beside each SavedModel. Before a version serves, its manifest,
files and feature digest must hold, and its answers must equal the model server's (or, without one,
the version's pinned ones). Implements ``ports.LocalPredictor``; safe for concurrent use.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from relentless.models.manifest import WEIGHTS, verify
from relentless.models.weights import HIDDEN, Weights, load_weights
from relentless.proto.errors import ModelInvalid, ModelRejected
from relentless.serving import forward
from relentless.serving.parity import check_against, check_pinned
from relentless.serving.ports import HEADS, Array, Embedded, Predictor

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One version in memory."""

    version: int
    weights: Weights
    packed: Array


class InProcessEngine:
    """Versions of one model by label, computed here."""

    def __init__(
        self,
        folder: Path,
        labels: Mapping[str, int] | None = None,
        *,
        parity_source: Predictor | None = None,
    ) -> None:
        """Load and prove every labelled version.

        Args:
            folder: the model's base path; its sub-folders are versions.
            labels: version by label. Absent: the parity source's, or without one "stable" for the
                highest version in the folder.
            parity_source: the backend whose answers this one must equal.

        Raises:
            ModelInvalid: no version can serve as "stable".
        """
        self._folder = folder
        self._source = parity_source
        self._versions: Mapping[int, Loaded] = {}
        self._labels: Mapping[str, int] = {}
        self._changing = threading.Lock()
        if labels is None:
            labels = parity_source.labels() if parity_source else {"stable": _highest(folder)}
        self.relabel(labels)

    def labels(self) -> Mapping[str, int]:
        """Give the version of each label that serves now."""
        return self._labels

    def relabel(self, labels: Mapping[str, int]) -> Mapping[str, int]:
        """Load what the labels name, then take them over in one step; give those that now hold.

        A label whose new version is refused keeps its old version, or is left out.

        Raises:
            ModelInvalid: nothing can serve as "stable"; everything stays as it was.
        """
        with self._changing:
            versions, accepted = dict(self._versions), dict[str, int]()
            reasons = dict[str, object]()
            for label, number in labels.items():
                try:
                    versions[number] = versions.get(number) or self._load(number)
                    accepted[label] = number
                except (ModelInvalid, ModelRejected) as error:
                    log.error("version refused", version=number, label=label, error=str(error))
                    reasons[label] = error
                    if (old := self._labels.get(label)) is not None:
                        accepted[label] = old
            if "stable" not in accepted:
                why = reasons.get("stable", "no version has the label")
                raise ModelInvalid(f"{self._folder}: nothing can serve as stable: {why}")
            # Versions that lost their label stay until the next change: a batch may be inside one.
            kept = {*accepted.values(), *self._labels.values()}
            self._versions = {n: loaded for n, loaded in versions.items() if n in kept}
            self._labels = accepted
            return accepted

    def _load(self, number: int) -> Loaded:
        folder = self._folder / str(number)
        manifest = verify(folder)
        if manifest.version != number:
            raise ModelInvalid(f"{folder} holds version {manifest.version}")
        weights = load_weights(folder / WEIGHTS)
        if (width := weights.w1_features.shape[0]) % forward.BLOCK:
            raise ModelInvalid(f"{folder}: {width} features; a multiple of {forward.BLOCK} is due")
        loaded = Loaded(number, weights, forward.packed(weights))
        trial = _Trial(self, loaded)
        if self._source is not None:
            check_against(trial, self._source, weights, number)
        else:
            check_pinned(trial, folder, number)
        log.info("version loaded", version=number, parity="server" if self._source else "pinned")
        return loaded

    def _of(self, version: int) -> Loaded:
        try:
            return self._versions[version]
        except KeyError:
            raise ModelRejected(f"version {version} does not serve here") from None

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        """Encode a context vector of shape [C] for one version.

        Raises:
            ModelRejected: no such version, or a wrong shape.
        """
        return _encode(self._of(version), context_vector, context_id)

    def predict(self, features: Array, context: Embedded) -> Array:
        """Predict [N, F] tick features under a context: a new array [N, 4] as in ``HEADS``.

        Raises:
            ModelRejected: wrong shape, or a version that serves no longer.
        """
        out = np.empty((len(features), len(HEADS)), np.float32)
        self.heads_into(features, context.bias, context.version, out)
        return out

    def heads_into(self, features: Array, bias: Array, version: int, out: Array) -> None:
        """Fill ``out`` [N, 4] from float32 features [N, F] and a folded bias [H].

        The interpreter's lock is free meanwhile, and no Python object is made for a row.

        Raises:
            ModelRejected: wrong shape, or a version that serves no longer.
        """
        self._compute(self._of(version), features, bias, out)

    def folded(self, context: Embedded) -> Array:
        """Give one version's network under a context: the bias [H], then the packed weights.

        Raises:
            ModelRejected: a version that serves no longer.
        """
        return np.concatenate([context.bias, self._of(context.version).packed])

    def _compute(self, loaded: Loaded, features: Array, bias: Array, out: Array) -> None:
        rows = len(features)
        width = loaded.weights.w1_features.shape[0]
        if features.shape != (rows, width) or features.dtype != np.float32:
            raise ModelRejected(
                f"features are float32 [N, {width}], not {features.dtype} {features.shape}"
            )
        if bias.shape != (HIDDEN,) or out.shape != (rows, len(HEADS)):
            raise ModelRejected(f"bias {bias.shape} or out {out.shape} does not fit {rows} rows")
        forward.heads_into(np.ascontiguousarray(features), bias, loaded.packed, out)

    def close(self) -> None:
        """Let go of every version."""
        self._versions, self._labels = {}, {}


class _Trial:
    """A version that does not serve yet, as a Predictor for the parity check."""

    def __init__(self, engine: InProcessEngine, loaded: Loaded) -> None:
        self._engine, self._loaded = engine, loaded

    def labels(self) -> Mapping[str, int]:
        return {}

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        return _encode(self._loaded, context_vector, context_id)

    def predict(self, features: Array, context: Embedded) -> Array:
        out = np.empty((len(features), len(HEADS)), np.float32)
        self._engine._compute(self._loaded, features, context.bias, out)
        return out

    def close(self) -> None:
        """Nothing to let go of."""


def _encode(loaded: Loaded, context_vector: Array, context_id: int) -> Embedded:
    wanted = loaded.weights.encoder_kernel.shape[:1]
    if context_vector.shape != wanted:
        raise ModelRejected(f"a context vector has the shape {wanted}, not {context_vector.shape}")
    embedding = loaded.weights.encode(np.asarray(context_vector, np.float32))
    return Embedded(context_id, loaded.version, embedding, loaded.weights.fold(embedding))


def _highest(folder: Path) -> int:
    numbers = [int(child.name) for child in folder.glob("*") if child.name.isdigit()]
    if not numbers:
        raise ModelInvalid(f"{folder} holds no version; run `relentless train`")
    return max(numbers)
