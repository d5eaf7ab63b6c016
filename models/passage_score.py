"""Score chances of passage against what became of recorded bills.

    python -m relentless.models.passage_score FILE.csv.gz...

Prints rows, base rate, AUC, average precision, log loss, Brier score and the reliability by bin of
the shipped coefficients. A Congress of the training set is scored by those that have not seen it.
"""

import argparse
import csv
import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relentless.models.passage import passage_of, read_rows
from relentless.models.passage_history import became_law

EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


@dataclass(frozen=True, slots=True)
class Scores:
    """How well chances foretold."""

    rows: int
    base_rate: float
    auc: float
    average_precision: float
    log_loss: float
    log_loss_gain: float
    """Share by which the log loss is below that of the base rate."""
    brier: float
    reliability: tuple[dict[str, float], ...]
    """By bin of the chance: from, to, count, mean chance, observed share."""

    def as_dict(self) -> dict[str, Any]:
        """Give them as plain data."""
        return asdict(self)


def scores_of(law: NDArray[np.float64], chance: NDArray[np.float64]) -> Scores:
    """Score chances; ``law`` is 1 where a bill became law. Ties share their rank.

    Raises:
        ValueError: nothing, or everything, became law.
    """
    count, positives = len(law), float(law.sum())
    if not 0 < positives < count:
        raise ValueError("a score needs bills that became law and bills that did not")
    base = positives / count
    p = np.clip(chance, 1e-12, 1.0 - 1e-12)
    loss = -float(np.mean(law * np.log(p) + (1 - law) * np.log(1 - p)))
    base_loss = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    levels, where, sizes = np.unique(chance, return_inverse=True, return_counts=True)
    hits = np.bincount(where, law, len(levels))
    ranks = np.cumsum(sizes) - (sizes - 1) / 2.0
    rank_sum = float(hits @ ranks)
    auc = (rank_sum - positives * (positives + 1) / 2) / (positives * (count - positives))
    found, seen = np.cumsum(hits[::-1]), np.cumsum(sizes[::-1])
    precision = float(np.sum(found / seen * hits[::-1]) / positives)
    bins = []
    for low, high in pairwise(EDGES):
        inside = (chance >= low) & ((chance < high) | (high == EDGES[-1]))
        if inside.any():
            bins.append(
                {
                    "from": low,
                    "to": high,
                    "count": int(inside.sum()),
                    "mean": round(float(chance[inside].mean()), 4),
                    "observed": round(float(law[inside].mean()), 4),
                }
            )
    return Scores(
        rows=count,
        base_rate=round(base, 5),
        auc=round(auc, 4),
        average_precision=round(precision, 4),
        log_loss=round(loss, 5),
        log_loss_gain=round(1.0 - loss / float(base_loss), 4),
        brier=round(float(np.mean((chance - law) ** 2)), 5),
        reliability=tuple(bins),
    )


def score_files(paths: Sequence[Path]) -> Scores:
    """Score the shipped coefficients on recorded Congresses."""
    law, chance = [], []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for bill, row in read_rows(csv.DictReader(file)):
                law.append(float(became_law(row)))
                chance.append(passage_of(bill.congress).at_introduction(bill))
    return scores_of(np.array(law), np.array(chance))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the scores as JSON."""
    parser = argparse.ArgumentParser(description="Score the chance of passage.")
    parser.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args(arguments)
    print(json.dumps(score_files(asked.files).as_dict(), indent=1))


if __name__ == "__main__":
    main()
