"""Fits the offline engine's head on ``corpus``: ``python -m relentless.agents.news.engines.fit``.

Needs scikit-learn (the extra ``train``); nothing here runs in the agent. Prints what the head
reaches on texts held out by group: hand-written lines by fives, templates whole.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from relentless.agents.news.engines.corpus import Example, examples
from relentless.agents.news.engines.embedding import Embedder
from relentless.agents.news.engines.polarity import signals
from relentless.agents.news.engines.scorer import WEIGHTS, features

TEMPLATE_WEIGHT: Final = 0.25
"""Of a template's text beside a hand-written one, which says more."""
REGULARISATION: Final = 0.3
"""C of the logistic regression: chosen on the texts held out here."""
FOLDS: Final = 5


def fit(seed_texts: list[Example]) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """Fit the head; give its weights, and its macro-F1 on held-out texts."""
    from sklearn.metrics import f1_score
    from sklearn.model_selection import GroupKFold

    texts = [example.text for example in seed_texts]
    labels = np.array([example.label for example in seed_texts])
    groups = np.array([example.group for example in seed_texts])
    written = np.array([example.group.startswith("free:") for example in seed_texts])
    rules = np.array([signals(text).vector() for text in texts], np.float32)
    mean, deviation = rules.mean(axis=0), rules.std(axis=0) + 1e-3
    values = features(Embedder().embed(texts), texts, mean, deviation)
    weights = np.where(written, 1.0, TEMPLATE_WEIGHT)

    held = np.zeros(len(labels), int)
    for train, test in GroupKFold(FOLDS).split(values, labels, groups):
        held[test] = _regression(values[train], labels[train], weights[train]).predict(values[test])
    reached = {
        "written": float(f1_score(labels[written], held[written], average="macro")),
        "templates": float(f1_score(labels[~written], held[~written], average="macro")),
    }
    model = _regression(values, labels, weights)
    head = {
        "weights": np.asarray(model.coef_, np.float32),
        "bias": np.asarray(model.intercept_, np.float32),
        "mean": mean,
        "deviation": deviation,
    }
    return head, reached


def _regression(
    values: NDArray[np.float32], labels: NDArray[np.int_], weights: NDArray[np.float64]
) -> Any:
    """Fit a multinomial logistic regression; the three labels weigh the same."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=REGULARISATION, max_iter=2_000, class_weight="balanced")
    return model.fit(values, labels, sample_weight=weights)


def main(out: Annotated[Path, typer.Option(help="Where the weights go.")] = WEIGHTS) -> None:
    """Fit the head and write its weights."""
    made = examples()
    head, reached = fit(made)
    np.savez_compressed(
        out,
        weights=head["weights"],
        bias=head["bias"],
        mean=head["mean"].astype(np.float32),
        deviation=head["deviation"].astype(np.float32),
    )
    typer.echo(f"{len(made)} texts; macro-F1 held out by group: {reached}; wrote {out.name}")


if __name__ == "__main__":
    typer.run(main)
