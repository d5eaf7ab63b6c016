"""Training from packages and macro history to a version in the repository; ``relentless train``.

Above ``datasets``, ``macro``, ``network``, ``evaluate`` and ``export``; imported by the command
alone. The splits follow time: the weights see what was known by the end of ``FIT_UNTIL``, the
number of epochs is chosen on the years up to ``CHOOSE_UNTIL``, and everything after is the test.
"""

import importlib.metadata
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relentless.configs.clock import EASTERN
from relentless.configs.settings import Settings
from relentless.models.context_vector import CONTEXT_FEATURES, CONTEXT_VECTOR, standardise
from relentless.models.datasets import HORIZON, TWICE, Bars, Samples, load_bars, samples_of
from relentless.models.evaluate import evaluate
from relentless.models.export import export, weights_digest
from relentless.models.feature_spec import TICK_FEATURES, feature_digest
from relentless.models.macro import MACRO_SERIES, Macro, load_macro
from relentless.models.manifest import MODEL_NAME, Manifest, Shapes
from relentless.models.network import Masker, Recipe, build, fit
from relentless.models.weights import DEEP, EMBEDDING, HIDDEN, Array, Weights

FIT_UNTIL = np.datetime64("2010-12-31")
CHOOSE_UNTIL = np.datetime64("2013-06-28")
"""The shipped day is 2013-10-07: nothing from July 2013 on has touched the weights."""
CONTEXT_TIME = clock_time(9, 25)
VOLUME_FEATURES = ("volume_z", "volume_trend", "signed_volume", "vwap_deviation", "has_volume")

HEADS = {
    "p_up": "sigmoid: probability that the log return over the next `horizon` price ticks is > 0",
    "expected_return": "linear: that return in units of sigma, the volatility of one price tick",
    "volatility_ratio": "softplus: root of the expected mean square of the next `horizon` returns, "
    "in units of sigma",
    "risk": "sigmoid: probability that the return exceeds 2 sigma * sqrt(horizon) either way",
}
RECIPES: Mapping[int, Mapping[str, float]] = {
    1: {},
    2: {"dropout": 0.2, "weight_decay": 1e-3},
}
"""What differs from the standing recipe, by version: 2 is the candidate, regularised harder."""


@dataclass(frozen=True)
class Dataset:
    """The samples with the context of each one's morning."""

    samples: Samples
    contexts: Array
    """[days, C], one row for each distinct date."""
    day: npt.NDArray[np.int64]
    """[N], rows of ``contexts``."""
    assets: tuple[Bars, ...]

    def context_rows(self) -> Array:
        """Give each sample's context vector: [N, C]."""
        rows: Array = self.contexts[self.day]
        return rows


@dataclass(frozen=True)
class TrainReport:
    """What a training came to."""

    folder: Path
    version: int
    weights_sha256: str
    metrics: Mapping[str, Any]
    epoch: int
    seconds: float


def assemble(assets: Sequence[Bars], macro: Macro | None) -> Dataset:
    """Join the samples of all assets with the macro features known at 09:25 of their day."""
    samples = samples_of(assets)
    days, day = np.unique(samples.dates, return_inverse=True)
    contexts = np.stack(
        [
            standardise(macro.at(datetime.combine(date, CONTEXT_TIME, EASTERN)) if macro else {})
            for date in days.astype(object)
        ]
    )
    return Dataset(samples, contexts, day.astype(np.int64), tuple(assets))


def splits(samples: Samples) -> dict[str, npt.NDArray[np.bool_]]:
    """Give the rows of each split. A target never looks into the split after its own."""
    fitted = samples.ends <= FIT_UNTIL
    chosen = (samples.dates > FIT_UNTIL) & (samples.ends <= CHOOSE_UNTIL)
    return {"fit": fitted, "choose": chosen, "test": samples.dates > CHOOSE_UNTIL}


def masker(recipe: Recipe) -> Masker:
    """Give the augmentation: contexts, single context values and volumes go missing at random."""
    volume = np.array([TICK_FEATURES.index(name) for name in VOLUME_FEATURES])
    count = len(CONTEXT_FEATURES)

    def mask(rng: np.random.Generator, features: Array, contexts: Array) -> tuple[Array, Array]:
        features, contexts = features.copy(), contexts.copy()
        without = rng.random(len(features)) < recipe.mask_volume
        features[np.flatnonzero(without)[:, None], volume] = 0.0
        gone = rng.random((len(contexts), count)) < recipe.mask_feature
        gone |= rng.random((len(contexts), 1)) < recipe.mask_context
        contexts[:, :count][gone] = 0.0
        contexts[:, count:][gone] = 0.0
        return features, contexts

    return mask


def silence(weights: Weights, features: Array, contexts: Array) -> tuple[Weights, Any, Any]:
    """Zero the weights of inputs that never varied in training; give them and their indices.

    Such weights are what chance set them to: live, where the input does vary, they would be noise.
    What a constant input added moves into the bias, so that the fitted function stays the same.
    """
    still_features = np.flatnonzero(features.std(axis=0) == 0.0)
    still_contexts = np.flatnonzero(~contexts.any(axis=0))
    w1, encoder = weights.w1_features.copy(), weights.encoder_kernel.copy()
    b1 = weights.b1 + features[0, still_features] @ w1[still_features]
    w1[still_features] = 0.0
    encoder[still_contexts] = 0.0
    silenced = weights._replace(w1_features=w1, encoder_kernel=encoder, b1=b1)
    return silenced, still_features, still_contexts


def train(
    output: Path,
    macro: Path | None,
    seed: int,
    version: int = 1,
    *,
    assets: Sequence[Bars] | None = None,
    recipe: Recipe | None = None,
) -> TrainReport:
    """Fit one version and write it to the repository ``output``.

    Without ``macro`` every context feature is masked. ``assets`` and ``recipe`` replace the
    packages' bars and the version's recipe.

    Raises:
        InvalidInput: the macro folder lacks a series, or a file in it is malformed.
        Unavailable: the extra ``train`` is not installed.

    """
    started = time.monotonic()
    history = load_macro(macro) if macro is not None else None
    data = assemble(load_bars() if assets is None else assets, history)
    recipe = recipe or Recipe(seed=seed + version - 1, **RECIPES.get(version, {}))  # type: ignore[arg-type]
    samples, contexts = data.samples, data.context_rows()
    split = splits(samples)
    training, validation = (
        (samples.features[rows], contexts[rows], samples.targets[rows])
        for rows in (split["fit"], split["choose"])
    )
    network = build(len(TICK_FEATURES), len(CONTEXT_VECTOR), recipe, training[2].mean(axis=0))
    fitted = fit(network, recipe, HORIZON, training, validation, masker(recipe))
    weights, still_features, still_contexts = silence(network.weights(), training[0], training[1])
    manifest = Manifest(
        name=MODEL_NAME,
        version=version,
        feature_digest=feature_digest(),
        tick_features=TICK_FEATURES,
        context_vector=CONTEXT_VECTOR,
        shapes=Shapes(
            features=len(TICK_FEATURES),
            context=len(CONTEXT_VECTOR),
            embedding=EMBEDDING,
            hidden=HIDDEN,
            deep=DEEP,
        ),
        heads=HEADS,
        horizon=HORIZON,
        unused_features=tuple(TICK_FEATURES[i] for i in still_features),
        unused_context=tuple(CONTEXT_VECTOR[i] for i in still_contexts),
        training=_describe(data, split, recipe, fitted.epoch, macro is not None),
        metrics=judge(weights, data, split, seed),
        libraries=_libraries(),
        files={},
    )
    folder = export(weights, manifest, output)
    return TrainReport(
        folder,
        version,
        weights_digest(folder),
        manifest.metrics,
        fitted.epoch,
        time.monotonic() - started,
    )


def judge(
    weights: Weights, data: Dataset, split: Mapping[str, npt.NDArray[np.bool_]], seed: int
) -> dict[str, Any]:
    """Measure a version on the years that chose its epochs and on the years after."""
    twice = [number for number, bars in enumerate(data.assets) if bars.name == TWICE]
    once = ~np.isin(data.samples.assets, twice)
    contexts = data.context_rows()
    fitted = data.samples.where(split["fit"])
    return {
        name: evaluate(
            weights, fitted, data.samples.where(rows := split[name] & once), contexts[rows], seed
        )
        for name in ("choose", "test")
        if (split[name] & once).any()
    }


def _describe(
    data: Dataset,
    split: Mapping[str, npt.NDArray[np.bool_]],
    recipe: Recipe,
    epoch: int,
    with_macro: bool,
) -> dict[str, Any]:
    """Say what a version was trained on, by whose licence, and how."""
    dates = data.samples.dates
    return {
        "prices": [
            {
                "asset": bars.name,
                "package": bars.source,
                "first": str(bars.dates[0]),
                "last": str(bars.dates[-1]),
            }
            for bars in data.assets
        ],
        "licences": {
            "skfolio": "BSD-3-Clause",
            "arch": "NCSA",
            "macro": "US Government and Federal Reserve series, free facts",
        },
        "macro_series": list(MACRO_SERIES) if with_macro else [],
        "macro_vintage": "today's values at the times of their first release",
        "splits": {
            name: {
                "rows": int(rows.sum()),
                "first": str(dates[rows].min()),
                "last": str(dates[rows].max()),
            }
            for name, rows in split.items()
            if rows.any()
        },
        "recipe": asdict(recipe),
        "epoch": epoch,
    }


def _libraries() -> dict[str, str]:
    names = ("tensorflow", "keras", "numpy", "numba", "skfolio", "arch")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def main(
    settings: Settings,
    *,
    macro: Path,
    output: Path | None = None,
    version: int = 1,
    seed: int = 20131007,
) -> None:
    """Train one version and say on the screen what it came to."""
    report = train(output or settings.paths.models, macro, seed, version)
    lines = [
        f"version {report.version} in {report.folder} after {report.seconds:.0f} s",
        f"weights.npz sha256 {report.weights_sha256}",
        f"kept epoch {report.epoch}; on the test years:",
    ]
    for name, measure in report.metrics["test"]["measures"].items():
        low, high = measure["interval"]
        lines.append(f"  {name:34s} {measure['value']:+.4f}  [{low:+.4f}, {high:+.4f}]")
    sys.stdout.write("\n".join(lines) + "\n")
