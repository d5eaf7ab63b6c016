"""Probabilities of negative, neutral and positive for texts.

A linear head over a sentence's embedding and the counts of ``polarity``. Its weights are
``head.npz``, fitted by ``fit`` on the texts of ``corpus`` and on nothing else.
"""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relentless.agents.news.engines.embedding import DIMENSIONS, Embedder
from relentless.agents.news.engines.polarity import FEATURES, signals
from relentless.proto.errors import ModelInvalid

WEIGHTS: Final = Path(__file__).with_name("head.npz")
CACHED: Final = 4_096
"""Texts whose scores are kept, by digest."""
NEUTRAL_SENTENCE: Final = 2.0
"""How likely neutral is in a sentence beforehand, beside each of the other two; 1 in a headline.

Most sentences of a report say neither, while a headline is written because something happened. A
choice, not fitted. The head is fitted with 1: the three labels weigh the same.
"""
EMBEDDING_SCALE: Final = 4.0
RULES_SCALE: Final = 0.5


class Scorer:
    """Scores texts; loads on first use and is safe to call from several threads."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._path = weights
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._embedder: Embedder | None = None
        self._head: dict[str, NDArray[np.float32]] = {}

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give (texts, 3): negative, neutral, positive; rows add up to 1.

        Raises:
            ModelUnavailable: the embedding model does not load.
            ModelInvalid: the weights do not fit this code.
        """
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        with self._lock:
            new = {
                key: text for key, text in zip(keys, texts, strict=True) if key not in self._cache
            }
            fresh = dict(zip(new, self._compute(list(new.values())), strict=True)) if new else {}
            rows = [fresh[key] if key in fresh else self._cache[key] for key in keys]
            for key, row in zip(keys, rows, strict=True):
                self._cache[key] = row
                self._cache.move_to_end(key)
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return np.stack(rows) if rows else np.empty((0, 3), np.float32)

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        if self._embedder is None:
            self._head = load(self._path)
            self._embedder = Embedder()
        head = self._head
        values = features(self._embedder.embed(texts), texts, head["mean"], head["deviation"])
        logits = values @ head["weights"].T + head["bias"]
        logits[:, 1] += [math.log(NEUTRAL_SENTENCE) if is_sentence(text) else 0.0 for text in texts]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def is_sentence(text: str) -> bool:
    """Tell a sentence from a headline: it ends with a full stop."""
    return text.rstrip(" \"')").endswith(".")


def features(
    embedded: NDArray[np.float32],
    texts: Sequence[str],
    mean: NDArray[np.float32],
    deviation: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Give the head's inputs, (texts, 384 + the rules' counts)."""
    rules = np.array([signals(text).vector() for text in texts], np.float32).reshape(-1, FEATURES)
    return np.hstack([embedded * EMBEDDING_SCALE, (rules - mean) / deviation * RULES_SCALE])


def load(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the head's weights.

    Raises:
        ModelInvalid: the file is missing, damaged or of another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head = {name: np.asarray(file[name], np.float32) for name in file.files}
        shapes = {name: value.shape for name, value in head.items()}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelInvalid(f"the sentiment head {path.name} does not load: {error}") from error
    wanted = {
        "weights": (3, DIMENSIONS + FEATURES),
        "bias": (3,),
        "mean": (FEATURES,),
        "deviation": (FEATURES,),
    }
    if shapes != wanted or not all(np.isfinite(value).all() for value in head.values()):
        raise ModelInvalid(f"the sentiment head {path.name} is of another shape: fit it again")
    return head
