"""Probabilities of negative, neutral and positive for texts, by the rules of ``polarity``."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relentless.agents.news.engines.polarity import signals


class Scorer:
    """Scores texts; keeps nothing."""

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give (texts, 3): negative, neutral, positive; rows add up to 1."""
        rows = np.empty((len(texts), 3), np.float32)
        for index, text in enumerate(texts):
            net = signals(text).net()
            powers = np.array([math.exp(min(4.0, -net)), math.exp(0.6), math.exp(min(4.0, net))])
            rows[index] = powers / powers.sum()
        return rows
