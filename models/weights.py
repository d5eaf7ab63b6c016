"""A model's weights as plain arrays, and the network's formulas in numpy.

The export writes them beside the SavedModel (``assets.extra/weights.npz``); the in-process engine
and the tests read them. With ``x`` tick features [N, F], ``c`` a context vector [C]::

    embedding = tanh(c @ encoder_kernel + encoder_bias)          [E]
    bias      = embedding @ w1_context + b1                      [H]
    hidden    = relu(x @ w1_features + bias)                     [N, H]
    deep      = relu(hidden @ w2 + b2)                           [N, D]
    heads     = sigmoid, linear, softplus, sigmoid of deep @ w3 + b3

float32 throughout. The heads' order is ``serving.ports.HEADS``.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from relentless.proto.errors import ModelInvalid

Array = npt.NDArray[np.float32]

EMBEDDING, HIDDEN, DEEP = 64, 128, 64
"""E, H, D."""
HEAD_NAMES: tuple[str, ...] = ("p_up", "expected_return", "volatility_ratio", "risk")
"""The same as ``serving.ports.HEADS``, which lies above this layer."""


class Weights(NamedTuple):
    """Every array of one version."""

    encoder_kernel: Array
    """[C, E]"""
    encoder_bias: Array
    """[E]"""
    w1_features: Array
    """[F, H]"""
    w1_context: Array
    """[E, H]"""
    b1: Array
    """[H]"""
    w2: Array
    """[H, D]"""
    b2: Array
    """[D]"""
    w3: Array
    """[D, 4]"""
    b3: Array
    """[4]"""

    def encode(self, context_vector: Array) -> Array:
        """Give the embedding [..., E] of context vectors [..., C]."""
        out: Array = np.tanh(context_vector @ self.encoder_kernel + self.encoder_bias)
        return out

    def fold(self, embedding: Array) -> Array:
        """Give the first layer's bias [..., H] under embeddings [..., E]."""
        out: Array = embedding @ self.w1_context + self.b1
        return out

    def predict_folded(self, features: Array, bias: Array) -> Array:
        """Give the heads [N, 4] of tick features [N, F] under a bias [H] or [N, H]."""
        hidden = np.maximum(features @ self.w1_features + bias, np.float32(0))
        deep = np.maximum(hidden @ self.w2 + self.b2, np.float32(0))
        return activate(deep @ self.w3 + self.b3)

    def predict(self, features: Array, context_vector: Array) -> Array:
        """Give the heads [N, 4] of tick features [N, F] under a context vector [C]."""
        return self.predict_folded(features, self.fold(self.encode(context_vector)))


def activate(raw: Array) -> Array:
    """Apply each head's activation to the last layer's sums [N, 4]; no overflow for any input."""
    heads = np.empty_like(raw)
    heads[:, 0] = _sigmoid(raw[:, 0])
    heads[:, 1] = raw[:, 1]
    heads[:, 2] = np.logaddexp(np.float32(0), raw[:, 2])
    heads[:, 3] = _sigmoid(raw[:, 3])
    return heads


def _sigmoid(raw: Array) -> Array:
    out: Array = np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * raw))
    return out


def save_weights(path: Path, weights: Weights) -> None:
    """Write the arrays as an .npz whose bytes depend on the values alone (no times within)."""
    save_arrays(path, weights._asdict())


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write float32 arrays as an .npz; the same values are the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w") as file:
                plain = np.ascontiguousarray(array, "<f4")
                np.lib.format.write_array(file, plain, version=(1, 0), allow_pickle=False)


def load_weights(path: Path) -> Weights:
    """Read the arrays, and check that their shapes fit each other.

    Raises:
        ModelInvalid: the file is absent, damaged, or holds other arrays than a version's.

    """
    try:
        # An open file, because numpy leaves a path's file open when it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in Weights._fields}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelInvalid(f"{path} holds no weights of this network: {error}") from error
    weights = Weights(**{name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()})
    c, f = weights.encoder_kernel.shape[0], weights.w1_features.shape[0]
    for name, wanted in shapes(c, f).items():
        if (found := arrays[name].shape) != wanted:
            raise ModelInvalid(f"{path}: {name} has the shape {found}, not {wanted}")
        if not np.isfinite(arrays[name]).all():
            raise ModelInvalid(f"{path}: {name} is not finite")
    return weights


def shapes(context: int, features: int) -> dict[str, tuple[int, ...]]:
    """Give each array's shape for C and F."""
    return {
        "encoder_kernel": (context, EMBEDDING),
        "encoder_bias": (EMBEDDING,),
        "w1_features": (features, HIDDEN),
        "w1_context": (EMBEDDING, HIDDEN),
        "b1": (HIDDEN,),
        "w2": (HIDDEN, DEEP),
        "b2": (DEEP,),
        "w3": (DEEP, len(HEAD_NAMES)),
        "b3": (len(HEAD_NAMES),),
    }
