"""What the offline engine reaches on labelled texts.

``python -m relentless.agents.news.engines.evaluate --phrasebank FILE --fiqa FILE --csv FILE``

Reads the Financial PhraseBank (``sentence@label``), FiQA's headlines (JSON, a score for a target)
and any CSV with the columns ``text`` and ``label``. None of them is fitted on.
"""

import csv
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

from relentless.agents.news.engines.clauses import about
from relentless.agents.news.engines.scorer import Scorer

NAMES: Final = ("negative", "neutral", "positive")
BAND: Final = 0.15
"""A FiQA score within this band of 0 counts as neutral."""
_WORDS: Final = {
    "negative": 0, "bearish": 0, "-1": 0, "0": 0, "neutral": 1, "1": 1,
    "positive": 2, "bullish": 2, "2": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures for one set."""

    texts: int
    accuracy: float
    macro_f1: float
    by_label: tuple[tuple[float, float, float], ...]
    """Precision, recall and F1 of negative, neutral and positive."""
    auc: float | None
    """Of the score, positive against negative; None without both."""

    def lines(self) -> list[str]:
        """Print."""
        auc = "-" if self.auc is None else f"{self.auc:.3f}"
        reached = f"accuracy {self.accuracy:.3f}, macro-F1 {self.macro_f1:.3f}, AUC {auc}"
        return [f"{self.texts} texts, {reached}"] + [
            f"  {name:9} precision {p:.3f} recall {r:.3f} F1 {f:.3f}"
            for name, (p, r, f) in zip(NAMES, self.by_label, strict=True)
        ]


def measure(rows: NDArray[np.float32], labels: Sequence[int]) -> Measured:
    """Compare probabilities, (texts, 3), with labels 0, 1 and 2."""
    truth = np.asarray(labels)
    said = rows.argmax(axis=1)
    by_label = []
    for label in range(3):
        hit = float(((said == label) & (truth == label)).sum())
        precision = hit / max(1.0, float((said == label).sum()))
        recall = hit / max(1.0, float((truth == label).sum()))
        f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
        by_label.append((precision, recall, f1))
    present = [label for label in range(3) if (truth == label).any()]
    return Measured(
        len(truth),
        float((said == truth).mean()),
        float(np.mean([by_label[label][2] for label in present])),
        tuple(by_label),
        area(rows[:, 2] - rows[:, 0], truth),
    )


def area(scores: NDArray[np.float32], truth: NDArray[np.int_]) -> float | None:
    """Give the chance that a positive text scores above a negative one; ties count half."""
    high, low = scores[truth == 2], scores[truth == 0]
    if not len(high) or not len(low):
        return None
    above = (high[:, None] > low[None, :]).mean() + 0.5 * (high[:, None] == low[None, :]).mean()
    return float(above)


def phrasebank(path: Path) -> tuple[list[str], list[int]]:
    """Read the PhraseBank: ISO-8859-1, "sentence@label"."""
    pairs = [
        line.rsplit("@", 1) for line in path.read_text("iso-8859-1").splitlines() if "@" in line
    ]
    return [text for text, _ in pairs], [NAMES.index(label.strip()) for _, label in pairs]


def fiqa(path: Path, band: float) -> tuple[list[str], list[int]]:
    """Read FiQA's headlines: for each target the part of the headline that speaks of it."""
    texts, labels = list[str](), list[int]()
    for entry in json.loads(path.read_text(encoding="utf-8")).values():
        sentence, infos = entry["sentence"], entry["info"]
        places = [(_place(sentence, info["target"]), info) for info in infos]
        for place, info in places:
            others = [other for other, item in places if item["target"] != info["target"] and other]
            texts.append(about(sentence, place, [o for o in others if o]) if place else sentence)
            score = float(info["sentiment_score"])
            labels.append(1 if abs(score) <= band else 2 if score > 0 else 0)
    return texts, labels


def _place(sentence: str, target: str) -> tuple[int, int] | None:
    match = re.search(re.escape(target), sentence, re.IGNORECASE)
    return match.span() if match else None


def table(path: Path) -> tuple[list[str], list[int]]:
    """Read a CSV with the columns text and label (words, or 0, 1 and 2)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [_WORDS[row["label"].strip().lower()] for row in rows]


def main(
    phrasebank_file: Annotated[Path | None, typer.Option("--phrasebank")] = None,
    fiqa_file: Annotated[Path | None, typer.Option("--fiqa")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Columns text and label.")] = None,
    band: Annotated[float, typer.Option(help="FiQA scores within it are neutral.")] = BAND,
) -> None:
    """Measure the offline engine on labelled texts."""
    sets = []
    if phrasebank_file:
        sets.append(("PhraseBank", *phrasebank(phrasebank_file)))
    if fiqa_file:
        sets.append((f"FiQA, |score| <= {band:g} neutral", *fiqa(fiqa_file, band)))
    if csv_file:
        sets.append((csv_file.name, *table(csv_file)))
    if not sets:
        raise typer.BadParameter("name at least one file: --phrasebank, --fiqa or --csv")
    scorer = Scorer()
    began = time.perf_counter()
    scorer.score(["Shares rise"])
    typer.echo(f"load and first text {time.perf_counter() - began:.2f} s")
    for name, texts, labels in sets:
        began = time.process_time()
        rows = scorer.score(texts)
        cost = (time.process_time() - began) / max(1, len(texts))
        typer.echo(f"{name}: {cost * 1e3:.1f} ms of CPU a text")
        typer.echo("\n".join(measure(rows, labels).lines()))


if __name__ == "__main__":
    typer.run(main)
