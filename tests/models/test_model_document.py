"""What docs/model.md says of the committed version 1, held against the manifest and the tape."""

import csv
import io
import re
import zipfile
from datetime import datetime

import numpy as np
import pytest

from relentless.configs.clock import EASTERN, to_ns
from relentless.configs.settings import REPOSITORY
from relentless.models.context_vector import standardise
from relentless.models.datasets import HORIZON, targets_of
from relentless.models.evaluate import auc, quasi_likelihood
from relentless.models.feature_spec import TICK_FEATURES
from relentless.models.features import new_state, update_many
from relentless.models.macro import load_macro
from relentless.models.manifest import MODEL_NAME, WEIGHTS, load_manifest
from relentless.models.weights import load_weights

DOCUMENT = (REPOSITORY / "docs" / "model.md").read_text()
VERSION = REPOSITORY / "models" / "repository" / MODEL_NAME / "1"
SKIPPED = 0x20 | 0x20000000 | 0x1000000 | 0x4000000
EXTENDED = 0x2000

ROWS = {
    "volatility, QLIKE gain over EWMA": "volatility_qlike_gain_over_ewma",
    "volatility, QLIKE gain over a linear HAR": "volatility_qlike_gain_over_har",
    "volatility, QLIKE gain over the last five": "volatility_qlike_gain_over_last",
    "volatility, R2": "volatility_r2",
    "risk, log loss gain": "risk_log_loss_gain",
    "risk, AUC": "risk_auc",
    "direction, AUC |": "direction_auc",
    "direction, accuracy (always up": "direction_accuracy",
    "direction, accuracy gain": "direction_accuracy_gain",
    "direction, log loss gain": "direction_log_loss_gain",
    "expected return, R2": "return_r2_against_zero",
    "context, volatility gain": "context_volatility_gain",
    "context, risk gain": "context_risk_gain",
    "context, direction gain": "context_direction_gain",
}


def test_the_table_is_the_manifests():
    test = load_manifest(VERSION).metrics["test"]
    assert f"({test['rows']:,} rows, {test['days']:,} days," in DOCUMENT
    for begins, name in ROWS.items():
        (line,) = [row for row in DOCUMENT.splitlines() if row.startswith(f"| {begins}")]
        *_, value, interval = line.strip("| ").split(" | ")
        low, high = interval.split(" to ")
        measure = test["measures"][name]
        said = [float(text) for text in (value, low, high)]
        assert said == pytest.approx([measure["value"], *measure["interval"]], abs=6e-4), name
    for part in test["risk_calibration"]:
        assert f"{part['said']:.3f} / {part['observed']:.3f}" in DOCUMENT


def test_what_the_words_claim_holds_in_the_intervals():
    for number in ("1", "2"):
        measures = load_manifest(VERSION.parent / number).metrics["test"]["measures"]
        low = {name: measure["interval"][0] for name, measure in measures.items()}
        high = {name: measure["interval"][1] for name, measure in measures.items()}
        for name in ("last", "ewma", "har"):
            assert low[f"volatility_qlike_gain_over_{name}"] > 0
        assert low["risk_log_loss_gain"] > 0 and low["risk_auc"] > 0.5
        assert low["direction_auc"] < 0.5 < high["direction_auc"]
        assert measures["direction_accuracy_gain"]["value"] < 0
        assert high["context_volatility_gain"] < 0.002


def rows_of(path):
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        return [line for line in csv.reader(io.TextIOWrapper(file))]


def tape(folder):
    """Give the IBM tape as tick columns: ms, price, size, bid, ask, not_last."""
    trades = rows_of(folder / "lean_IBM_20131007_trade.zip")
    quotes = rows_of(folder / "lean_IBM_20131007_quote.zip")
    ms, price, size = (np.array([int(r[i]) for r in trades]) for i in range(3))
    flags = np.array([int(r[4], 16) for r in trades])
    not_last = ((flags & SKIPPED) != 0) & ((flags & EXTENDED) == 0)
    bid, ask, path = 0, 0, []
    for row in quotes:
        bid, ask = int(row[1]) or bid, int(row[3]) or ask
        path.append((int(row[0]), bid, ask))
    at, bids, asks = np.array(path).T
    place = np.searchsorted(at, ms, "right") - 1
    known = place >= 0
    quote = [np.where(known, side[place], 0) / 1e4 for side in (bids, asks)]
    return ms, price / 1e4, size.astype(float), *quote, not_last


def test_the_figures_on_the_recorded_tape_are_those_of_the_document(recordings):
    ms, price, size, bid, ask, not_last = tape(recordings / "ticks")
    midnight = to_ns(datetime(2013, 10, 7, tzinfo=EASTERN))
    features = np.empty((len(ms), len(TICK_FEATURES)), np.float32)
    nobody = np.zeros(len(ms), np.int64)
    ns = midnight + ms * 1_000_000
    update_many(new_state(1), nobody, ns, price, size, bid, ask, not_last, features)
    last = np.flatnonzero(~not_last)
    targets, last = targets_of(price[last]).astype(float), last[:-HORIZON]
    session = (ms[last] >= 9.5 * 3_600_000) & (ms[last] < 16 * 3_600_000)
    x, targets = features[last][session], targets[session]

    macro = load_macro(recordings / "fred" / "csv")
    context = standardise(macro.at(datetime(2013, 10, 7, 9, 25, tzinfo=EASTERN)))
    weights = load_weights(VERSION / WEIGHTS)
    heads = weights.predict(x, context).astype(float)
    moved = np.flatnonzero(targets[:, 1] != 0)
    position, back = (
        -x[:, TICK_FEATURES.index(name)].astype(float) for name in ("quote_position", "ret_1")
    )
    ranked = [auc(score, targets[:, 0])(moved) for score in (heads[:, 0], position, back)]
    variance = targets[:, 2]
    losses = [
        quasi_likelihood(variance, said).mean()
        for said in (heads[:, 2] ** 2, np.ones_like(variance))
    ]
    masked = weights.predict(x, np.zeros_like(context)).astype(float)
    effect = np.abs(heads - masked).max(axis=0)
    found = [len(x), *ranked, heads[:, 0].mean(), targets[:, 0].mean()]
    found += [100 * (1 - len(moved) / len(x)), *losses, heads[:, 3].mean(), targets[:, 3].mean()]
    found += [auc(heads[:, 3], targets[:, 3])(np.arange(len(x))), effect[0], effect[2]]

    section = DOCUMENT.split("## Daily bars are not ticks")[1].split("## Versions")[0]
    said = re.findall(r"\d+,\d{3}", section)
    said += re.findall(r"\d+\.\d+", section.split("|---|---|---|\n")[1].split("So on ticks")[0])
    numbers = [float(text.replace(",", "")) for text in said]
    assert numbers[:6] + numbers[7:] == pytest.approx(found[:6] + found[7:], abs=6e-4)
    assert numbers[6] == pytest.approx(found[6], abs=0.06)  # per cent
