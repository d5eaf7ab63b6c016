"""How good a version is, against baselines that cost nothing, with intervals. Numpy alone.

Rows of one day move together and targets of neighbouring days overlap, so an interval comes from
resampling whole blocks of ``BLOCK`` trading days (Kuensch, 1989), all assets of a day together. A
gain is the baseline's loss less the model's: above zero is better than the baseline.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.datasets import Samples
from relentless.models.feature_spec import TICK_FEATURES
from relentless.models.weights import Array, Weights

BLOCK = 21
RESAMPLES = 200
BINS = 5
_LEAST_RATIO = 0.05

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Measure = Callable[[Rows], float]


def evaluate(
    weights: Weights, fitted: Samples, judged: Samples, contexts: Array, seed: int
) -> dict[str, Any]:
    """Measure the heads on ``judged`` (contexts [N, C]); baselines know ``fitted`` alone."""
    heads = _heads(weights, judged.features, contexts)
    masked = _heads(weights, judged.features, np.zeros((1, len(CONTEXT_VECTOR)), np.float32))
    targets = judged.targets.astype(np.float64)
    base = fitted.targets.mean(axis=0, dtype=np.float64)
    measures: dict[str, Measure] = {
        **_direction(heads[:, 0], targets[:, 0], base[0]),
        **_returns(heads[:, 1], targets[:, 1]),
        **_volatility(heads[:, 2], targets[:, 2], judged, har(fitted, judged)),
        **_risk(heads[:, 3], targets[:, 3], base[3]),
        **_context_gains(heads, masked, targets),
    }
    draws = resamples(judged.dates, seed)
    everything = np.arange(len(targets))
    return {
        "rows": len(targets),
        "days": len(np.unique(judged.dates)),
        "measures": {
            name: {
                "value": round(measure(everything), 5),
                "interval": [
                    round(float(q), 5)
                    for q in np.quantile([measure(rows) for rows in draws], (0.025, 0.975))
                ],
            }
            for name, measure in measures.items()
        },
        "risk_calibration": calibration(heads[:, 3], targets[:, 3]),
    }


def _heads(weights: Weights, features: Array, contexts: Array) -> Floats:
    bias = weights.fold(weights.encode(contexts))
    return weights.predict_folded(features, bias).astype(np.float64)


def _direction(p: Floats, up: Floats, base: float) -> dict[str, Measure]:
    loss, plain = cross_entropy(p, up), cross_entropy(np.full_like(p, base), up)
    right = ((p > 0.5) == (up > 0.5)).astype(np.float64)
    return {
        "direction_auc": auc(p, up),
        "direction_accuracy": lambda rows: float(right[rows].mean()),
        "direction_accuracy_always_up": lambda rows: float(up[rows].mean()),
        "direction_accuracy_gain": lambda rows: float((right[rows] - up[rows]).mean()),
        "direction_log_loss_gain": lambda rows: float((plain[rows] - loss[rows]).mean()),
    }


def _returns(said: Floats, scaled: Floats) -> dict[str, Measure]:
    def r2(rows: Rows) -> float:
        return 1.0 - float(((scaled[rows] - said[rows]) ** 2).sum() / (scaled[rows] ** 2).sum())

    return {"return_r2_against_zero": r2}


def _volatility(
    ratio: Floats, variance: Floats, judged: Samples, regression: Floats
) -> dict[str, Measure]:
    loss = quasi_likelihood(variance, ratio**2)
    ewma = quasi_likelihood(variance, np.ones_like(variance))
    fast = np.exp(2.0 * judged.features[:, TICK_FEATURES.index("vol_5")].astype(np.float64))
    last = quasi_likelihood(variance, np.maximum(fast, _LEAST_RATIO))
    linear = quasi_likelihood(variance, regression)
    realised = np.sqrt(variance) * judged.sigma

    def r2(said: Floats) -> Measure:
        def measure(rows: Rows) -> float:
            true = realised[rows]
            off = ((true - said[rows]) ** 2).sum()
            return 1.0 - float(off / ((true - true.mean()) ** 2).sum())

        return measure

    return {
        "volatility_qlike_gain_over_last": lambda rows: float((last[rows] - loss[rows]).mean()),
        "volatility_qlike_gain_over_ewma": lambda rows: float((ewma[rows] - loss[rows]).mean()),
        "volatility_qlike_gain_over_har": lambda rows: float((linear[rows] - loss[rows]).mean()),
        "volatility_r2": r2(ratio * judged.sigma),
        "volatility_r2_ewma": r2(judged.sigma),
        "volatility_r2_har": r2(np.sqrt(regression) * judged.sigma),
    }


def _risk(p: Floats, big: Floats, base: float) -> dict[str, Measure]:
    loss, plain = cross_entropy(p, big), cross_entropy(np.full_like(p, base), big)
    return {
        "risk_auc": auc(p, big),
        "risk_log_loss_gain": lambda rows: float((plain[rows] - loss[rows]).mean()),
        "risk_brier_gain": lambda rows: float(
            ((base - big[rows]) ** 2 - (p[rows] - big[rows]) ** 2).mean()
        ),
    }


def _context_gains(heads: Floats, masked: Floats, targets: Floats) -> dict[str, Measure]:
    """Give what the context adds to the same weights with every context value masked."""

    def gain(before: Floats, after: Floats) -> Measure:
        return lambda rows: float((before[rows] - after[rows]).mean())

    up, variance, big = targets[:, 0], targets[:, 2], targets[:, 3]
    return {
        "context_direction_gain": gain(
            cross_entropy(masked[:, 0], up), cross_entropy(heads[:, 0], up)
        ),
        "context_volatility_gain": gain(
            quasi_likelihood(variance, masked[:, 2] ** 2),
            quasi_likelihood(variance, heads[:, 2] ** 2),
        ),
        "context_risk_gain": gain(
            cross_entropy(masked[:, 3], big), cross_entropy(heads[:, 3], big)
        ),
    }


def har(fitted: Samples, judged: Samples) -> Floats:
    """Give the variance ratio [N] of a linear model on variances of four spans.

    In the manner of Corsi's heterogeneous autoregression (2009), by least squares on ``fitted``.
    """

    def design(samples: Samples) -> Floats:
        fast, slow, long = (
            samples.features[:, TICK_FEATURES.index(name)].astype(np.float64)
            for name in ("vol_5", "vol_126", "vol_504")
        )
        ones = np.ones_like(fast)
        return np.column_stack(
            [ones, np.exp(2 * fast), np.exp(-2 * slow), np.exp(-2 * (slow + long))]
        )

    wanted = np.minimum(fitted.targets[:, 2].astype(np.float64), 25.0)
    factors, *_ = np.linalg.lstsq(design(fitted), wanted, rcond=None)
    said: Floats = np.maximum(design(judged) @ factors, _LEAST_RATIO)
    return said


def cross_entropy(p: Floats, happened: Floats) -> Floats:
    """Give each row's log loss in nats."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    out: Floats = -(happened * np.log(p) + (1 - happened) * np.log1p(-p))
    return out


def quasi_likelihood(realised: Floats, said: Floats) -> Floats:
    """Give each row's QLIKE of a variance forecast (Patton, 2011), its constant left out."""
    said = np.maximum(said, _LEAST_RATIO**2)
    return realised / said + np.log(said)


def auc(score: Floats, happened: Floats) -> Measure:
    """Give the probability, among given rows, that one that happened outranks one that did not.

    Ties count half. The ranking is done once, for every draw of rows.
    """
    _, place = np.unique(score, return_inverse=True)
    positive = happened > 0.5

    def measure(rows: Rows) -> float:
        with_event = positive[rows]
        yes = np.bincount(place[rows[with_event]], minlength=place.max() + 1)
        no = np.bincount(place[rows[~with_event]], minlength=place.max() + 1)
        below = np.cumsum(no) - 0.5 * no
        pairs = float(yes.sum()) * float(no.sum())
        return float(yes @ below) / pairs if pairs else 0.5

    return measure


def calibration(p: Floats, happened: Floats) -> list[dict[str, float]]:
    """Give said and observed shares in ``BINS`` bins of equally many rows."""
    return [
        {
            "said": round(float(p[rows].mean()), 4),
            "observed": round(float(happened[rows].mean()), 4),
        }
        for rows in np.array_split(np.argsort(p, kind="stable"), BINS)
    ]


def resamples(dates: npt.NDArray[np.datetime64], seed: int) -> list[Rows]:
    """Give ``RESAMPLES`` draws of row numbers: blocks of days, with replacement."""
    order = np.argsort(dates, kind="stable")
    _, starts = np.unique(dates[order], return_index=True)
    days = np.split(order, starts[1:])
    rng = np.random.default_rng(seed)
    length = min(BLOCK, len(days))
    draws = []
    for _ in range(RESAMPLES):
        first = rng.integers(0, len(days) - length + 1, -(-len(days) // length))
        picked = (first[:, None] + np.arange(length)).ravel()[: len(days)]
        draws.append(np.concatenate([days[day] for day in picked]))
    return draws
