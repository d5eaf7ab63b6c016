"""Whether two backends give the same answers for a version, on probes that are always the same.

Both TensorFlow's kernels and ours compute in float32, in another order: they differ by less than
1e-6 where they are the same model, so a larger difference than ``TOLERANCE`` is another model.
"""

import zipfile
from pathlib import Path

import numpy as np

from relentless.models.manifest import GOLDEN
from relentless.models.weights import Weights
from relentless.proto.errors import ModelInvalid, ModelRejected
from relentless.serving.ports import Array, Predictor

TOLERANCE = 1e-5
"""Largest difference, absolute, and relative above one."""

PROBE_ROWS = 33
"""Whole blocks of the engine's, and a rest."""
SEED = 20131007


def probes(weights: Weights) -> tuple[Array, list[Array]]:
    """Give feature rows [N, F] over their range, and context vectors [C]: two drawn, one empty."""
    rng = np.random.default_rng(SEED)
    features = rng.uniform(-8, 8, (PROBE_ROWS, weights.w1_features.shape[0]))
    features[: PROBE_ROWS // 2] *= rng.uniform(0, 0.25, (PROBE_ROWS // 2, 1))
    size = weights.encoder_kernel.shape[0]
    contexts = np.stack([rng.uniform(-2, 2, size), rng.uniform(0, 1, size), np.zeros(size)])
    return features.astype(np.float32), list(contexts.astype(np.float32))


def difference(ours: Array, theirs: Array) -> float:
    """Give the largest difference; infinite where shapes differ or something is not finite."""
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    scale = np.maximum(np.abs(theirs), 1)
    return float(np.max(np.abs(ours - theirs) / scale, initial=0.0))


def check_against(ours: Predictor, theirs: Predictor, weights: Weights, version: int) -> float:
    """Compare a version in two backends; give the largest difference found.

    Raises:
        ModelInvalid: they differ, or the other backend refuses the version.
        ModelUnavailable: the other backend does not answer.
    """
    features, contexts = probes(weights)
    worst = 0.0
    for context in contexts:
        mine = ours.encode(context, 0, version)
        try:
            other = theirs.encode(context, 0, version)
            heads = theirs.predict(features, other)
        except ModelRejected as error:
            raise ModelInvalid(f"version {version}: the model server says {error}") from error
        halves = [ours.predict(part, mine) for part in (features[:8], features[8:])]
        for name, left, right in (
            ("embedding", mine.embedding, other.embedding),
            ("bias", mine.bias, other.bias),
            ("heads", np.concatenate(halves), heads),
        ):
            worst = max(worst, _judged(name, difference(left, right), version))
    return worst


def check_pinned(ours: Predictor, folder: Path, version: int) -> float:
    """Compare a version with the answers pinned beside it; give the largest difference.

    They are ``features`` [N, F], ``context_vector`` [C] and ``heads`` [N, 4] in one file.

    Raises:
        ModelInvalid: they differ, or nothing readable is pinned.
    """
    try:
        with np.load(folder / GOLDEN, allow_pickle=False) as pinned:
            features, context = pinned["features"], pinned["context_vector"]
            heads = pinned["heads"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelInvalid(f"version {version} has no pinned answers: {error}") from error
    mine = ours.encode(context, 0, version)
    return _judged("heads", difference(ours.predict(features, mine), heads), version)


def _judged(name: str, found: float, version: int) -> float:
    if found > TOLERANCE:
        raise ModelInvalid(
            f"version {version} differs from its reference by {found:.2g} in {name} (at most "
            f"{TOLERANCE:g}): the weights beside the SavedModel are not its own"
        )
    return found
