"""Fit the chance of passage on recorded Congresses and write the shipped file and its figures.

    python -m relentless.models.passage_fit --recordings DIR

Needs scikit-learn and matplotlib; run time does not. Deterministic. Every Congress is predicted
by coefficients fitted on the others; calibration and stages are fitted on such predictions alone.
"""

import argparse
import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relentless.models.passage import (
    ALL,
    FILE,
    STAGES,
    Introduced,
    Passage,
    read_rows,
    record,
    structure,
    terms,
)
from relentless.models.passage_history import became_law, stages_of
from relentless.models.passage_score import Scores, scores_of

CONGRESSES = (113, 114, 115, 116)
TERMS = 20_000
MIN_BILLS = 5
"""Bills in which a term must stand."""
STRENGTH = 2.0
"""Inverse of the penalty."""
STRUCTURE_SHARE = 0.35
"""Scale of the structure before the fit: how hard the penalty presses on it."""

Vector = NDArray[np.float64]


@dataclass
class Rows:
    """The bills of several Congresses."""

    bills: list[Introduced] = field(default_factory=list)
    laws: list[bool] = field(default_factory=list)
    snapshots: list[list[tuple[str, float]]] = field(default_factory=list)
    """Of each bill: (stage, share of the Congress left) on the first of a month while pending."""

    @property
    def congress(self) -> NDArray[Any]:
        """The Congress of each."""
        return np.array([bill.congress for bill in self.bills])

    @property
    def law(self) -> Vector:
        """1 where a bill became law."""
        return np.array(self.laws, float)

    def of(self, congresses: Iterable[int]) -> "Rows":
        """Give those of some Congresses."""
        keep = [n for n, bill in enumerate(self.bills) if bill.congress in set(congresses)]
        return Rows(
            [self.bills[n] for n in keep],
            [self.laws[n] for n in keep],
            [self.snapshots[n] for n in keep],
        )


def read(paths: Iterable[Path]) -> Rows:
    """Read recorded Congresses."""
    rows = Rows()
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for bill, row in read_rows(csv.DictReader(file)):
                rows.bills.append(bill)
                rows.laws.append(became_law(row))
                rows.snapshots.append(stages_of(bill, row))
    return rows


def records(rows: Rows) -> dict[str, dict[int, tuple[float, float]]]:
    """Give every sponsor's bills and laws by Congress."""
    found: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    for bill, law in zip(rows.bills, rows.laws, strict=True):
        bills, laws = found[bill.sponsor].get(bill.congress, (0.0, 0.0))
        found[bill.sponsor][bill.congress] = (bills + 1, laws + law)
    found.pop("", None)
    return found


def regression(rows: Rows) -> dict[str, NDArray[Any]]:
    """Fit the title, structure and record."""
    return regression_and_chances(rows)[0]


def regression_and_chances(rows: Rows) -> tuple[dict[str, NDArray[Any]], Vector]:
    """Fit; give the arrays and what scikit-learn says of the bills that it was fitted on.

    There a bill's record is of the other Congresses: its own would give the outcome away.
    """
    from scipy import sparse
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.feature_selection import chi2
    from sklearn.linear_model import LogisticRegression

    law, rate = rows.law, float(rows.law.mean())
    titles = [bill.title for bill in rows.bills]
    every = TfidfVectorizer(analyzer=terms, min_df=MIN_BILLS, sublinear_tf=True)
    telling = np.argsort(-chi2(every.fit_transform(titles), law)[0], kind="stable")[:TERMS]
    vocabulary = sorted(every.get_feature_names_out()[telling])
    words = TfidfVectorizer(analyzer=terms, vocabulary=vocabulary, sublinear_tf=True)
    of_titles = words.fit_transform(titles)
    names = DictVectorizer()
    of_structure = names.fit_transform([structure(bill) for bill in rows.bills])
    by_sponsor = records(rows)
    elsewhere = []
    for bill in rows.bills:
        other = [v for c, v in by_sponsor.get(bill.sponsor, {}).items() if c != bill.congress]
        elsewhere.append(record(sum(b for b, _ in other), sum(w for _, w in other), rate))
    of_record = sparse.csr_matrix(np.array(elsewhere)[:, None])
    matrix = sparse.hstack([of_titles, of_structure * STRUCTURE_SHARE, of_record])
    model = LogisticRegression(C=STRENGTH, solver="liblinear", random_state=0, max_iter=1_000)
    model.fit(matrix.tocsr(), law)
    weights, split = model.coef_[0], len(vocabulary)
    told = {s: np.sum(list(v.values()), axis=0) for s, v in sorted(by_sponsor.items())}
    arrays = {
        "terms": _packed(vocabulary),
        "idf": words.idf_.astype(np.float32),
        "term_weights": weights[:split].astype(np.float32),
        "names": _packed(names.get_feature_names_out()),
        "name_weights": (weights[split:-1] * STRUCTURE_SHARE).astype(np.float32),
        "sponsors": _packed(told),
        "records": np.array(list(told.values())).astype(np.uint16),
        "constants": np.array([model.intercept_[0], rate, weights[-1], 1.0, 0.0]),
        "stages": np.tile([0.0, 1.0, 0.0], (len(STAGES), 1)),
    }
    return arrays, np.asarray(model.predict_proba(matrix.tocsr())[:, 1])


def fit(rows: Rows) -> dict[str, NDArray[Any]]:
    """Fit coefficients, calibration and stages on the Congresses of ``rows`` alone."""
    arrays = regression(rows)
    held = np.zeros(len(rows.bills))
    congress = rows.congress
    for one in sorted(set(congress.tolist())):
        model = Passage(regression(rows.of(set(congress.tolist()) - {one})))
        for n in np.flatnonzero(congress == one):
            held[n] = model.raw(rows.bills[n])
    slope, shift = _line(_logits(held)[:, None], rows.law)
    arrays["constants"][3:] = slope, shift
    chances = 1.0 / (1.0 + np.exp(-(slope * _logits(held) + shift)))
    arrays["stages"] = stage_lines(rows, chances)
    return arrays


def stage_lines(rows: Rows, chances: Vector) -> Vector:
    """Fit each stage's line over (log odds at introduction, log share left); neither may fall."""
    lines = []
    for stage in STAGES:
        inputs, law = [], []
        for chance, became, told in zip(_logits(chances), rows.laws, rows.snapshots, strict=True):
            for reached, left in told:
                if reached == stage:
                    inputs.append((chance, np.log(left)))
                    law.append(float(became))
        # One bill each way, at the middle: no chance is certain where few bills came so far.
        x, y = np.array(inputs), np.array([*law, 0.0, 1.0])
        x = np.vstack([x, x.mean(axis=0), x.mean(axis=0)])
        odds, time, constant = _line(x, y)
        if time < 0.0:
            (odds, constant), time = _line(x[:, :1], y), 0.0
        lines.append((constant, max(odds, 0.0), time))
    return np.array(lines)


def _line(x: NDArray[Any], y: Vector) -> list[float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, random_state=0).fit(x, y)
    return [*model.coef_[0].tolist(), float(model.intercept_[0])]


def _logits(chances: Vector) -> Vector:
    clipped = np.clip(chances, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def _packed(names: Iterable[str]) -> NDArray[Any]:
    return np.frombuffer("\n".join(names).encode(), np.uint8)


def stage_scores(rows: Rows, chance: Callable[[Introduced, str, float], float]) -> Scores:
    """Score chances given the stage, over every bill's monthly snapshots."""
    said, law = [], []
    for bill, became, told in zip(rows.bills, rows.laws, rows.snapshots, strict=True):
        for stage, left in told:
            said.append(chance(bill, stage, left))
            law.append(became)
    return scores_of(np.array(law, float), np.array(said))


def evaluate(rows: Rows, models: Mapping[str, Passage]) -> dict[str, Any]:
    """Score every Congress by the coefficients that have not seen it, and the 116th by earlier."""
    from relentless.models.legislation import STAGE_LAW_RATE

    told: dict[str, Any] = {"folds": {}, "stages": {}}
    law, said = [], []
    for congress in CONGRESSES:
        one, model = rows.of([congress]), models[str(congress)]
        chances = np.array([model.at_introduction(bill) for bill in one.bills])
        told["folds"][str(congress)] = scores_of(one.law, chances).as_dict()
        law.append(one.law)
        said.append(chances)
        memory = dict(zip(one.bills, chances.tolist(), strict=True))
        told["stages"][str(congress)] = {
            "model": stage_scores(
                one,
                lambda b, s, t, m=model, k=memory: m.given_stage(k[b], s, t),  # type: ignore[misc]
            ).log_loss,
            "stage_rate": stage_scores(one, lambda b, s, t: STAGE_LAW_RATE[s]).log_loss,
        }
    told["pooled"] = scores_of(np.concatenate(law), np.concatenate(said)).as_dict()
    return told


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the reliability curve of the folds together."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    bins = figures["pooled"]["reliability"]
    plot, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], linewidth=0.8, color="grey")
    axes.plot([b["mean"] for b in bins], [b["observed"] for b in bins], marker="o")
    axes.set(xlabel="chance stated", ylabel="share that became law", title="Held-out Congresses")
    plot.savefig(path, dpi=90, metadata={"Software": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, evaluate and write."""
    parser = argparse.ArgumentParser(description="Fit the chance of passage.")
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--figures", type=Path, help="folder for the metrics and the curve")
    asked = parser.parse_args(arguments)
    rows = read(asked.recordings / "congress" / f"bills_{c}.csv.gz" for c in CONGRESSES)
    sets = {ALL: fit(rows)}
    for congress in CONGRESSES:
        sets[str(congress)] = fit(rows.of(set(CONGRESSES) - {congress}))
    arrays = {f"{name}/{key}": a for name, one in sets.items() for key, a in one.items()}
    np.savez_compressed(asked.out, **arrays)  # type: ignore[arg-type]
    figures = evaluate(rows, {name: Passage(one) for name, one in sets.items()})
    print(json.dumps(figures, indent=1))
    if asked.figures:
        asked.figures.mkdir(parents=True, exist_ok=True)
        text = json.dumps(figures, indent=1) + "\n"
        (asked.figures / "passage.json").write_text(text, encoding="utf-8")
        draw(figures, asked.figures / "passage_reliability.png")


if __name__ == "__main__":
    main()
