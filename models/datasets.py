"""Daily bars that packages ship, as training samples: the live features, and what came after them.

A bar passes through ``features.update_many`` as one tick at the close, so that training and serving
share every line of the features. ``skfolio`` (BSD-3-Clause) has twenty S&P 500 stocks and the index
from 1990 to 2022, adjusted closes without volume; ``arch`` (NCSA) has S&P 500 and Nasdaq with
volume from 1999 to 2018. The twenty were chosen by skfolio among companies that still exist: their
past is better than the market's was.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import numpy as np
import numpy.typing as npt

from relentless.configs.clock import EASTERN, to_ns
from relentless.models.feature_spec import FLOOR, SIGMA_SPAN, TICK_FEATURES
from relentless.models.features import FEATURES, new_state, update_many
from relentless.proto.errors import Unavailable

HORIZON = 5
"""Bars (live: price ticks) ahead that the targets speak of."""
BIG_MOVE = 2.0
"""``risk`` is a return over the horizon beyond so many ``sigma * sqrt(HORIZON)``."""
FROZEN = 1e-3
"""Daily volatility below which a price is taken to stand still for want of quotes; left out."""
TWICE = "sp500_volume"
"""The index a second time, with volume: fitted to, and left out where rows are counted."""
TARGETS: tuple[str, ...] = ("up", "scaled_return", "variance_ratio", "big_move")

Floats = npt.NDArray[np.float64]
Dates = npt.NDArray[np.datetime64]
CLOSE = time(16, 0)


@dataclass(frozen=True)
class Bars:
    """One asset's days, oldest first."""

    name: str
    source: str
    dates: Dates
    close: Floats
    volume: Floats
    """Zero where the source has none."""


@dataclass(frozen=True)
class Samples:
    """N rows: one asset at one close, with targets over the next ``HORIZON`` bars."""

    features: npt.NDArray[np.float32]
    """[N, F]"""
    targets: npt.NDArray[np.float32]
    """[N, 4], columns as in ``TARGETS``."""
    dates: Dates
    """[N], of the bar."""
    ends: Dates
    """[N], of the last bar that a target looks at."""
    assets: npt.NDArray[np.int64]
    """[N]"""
    sigma: Floats
    """[N], the unit of the targets: daily volatility behind."""

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Samples":
        """Keep the chosen rows."""
        return Samples(*(column[chosen] for column in vars(self).values()))


def load_bars() -> tuple[Bars, ...]:
    """Read every asset that the packages ship.

    Raises:
        Unavailable: skfolio or arch is not installed.

    """
    try:
        shelf = importlib.import_module("skfolio.datasets")
        tables = {
            name: importlib.import_module(f"arch.data.{name}") for name in ("sp500", "nasdaq")
        }
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"training needs the package {error.name}: install relentless with its extra `train`"
        ) from error
    stocks, index = shelf.load_sp500_dataset(), shelf.load_sp500_index()
    bars = [_frame(name, "skfolio", stocks[name]) for name in sorted(stocks.columns)]
    bars.append(_frame("SP500", "skfolio", index["SP500"]))
    for name, table in tables.items():
        frame = table.load()
        bars.append(_frame(f"{name}_volume", "arch", frame["Adj Close"], frame["Volume"]))
    return tuple(bars)


def _frame(name: str, source: str, close: Any, volume: Any = None) -> Bars:
    prices = close.to_numpy(np.float64)
    return Bars(
        name,
        source,
        close.index.to_numpy().astype("datetime64[D]"),
        prices,
        np.zeros_like(prices) if volume is None else volume.to_numpy(np.float64),
    )


def close_ns(dates: Dates) -> npt.NDArray[np.int64]:
    """Give each day's close, 16:00 in New York, in ns since the Unix epoch."""
    days: list[Any] = dates.astype(object).tolist()
    return np.array([to_ns(datetime.combine(day, CLOSE, EASTERN)) for day in days], np.int64)


def bar_features(bars: Bars) -> npt.NDArray[np.float32]:
    """Give the features after each bar: [days, F]."""
    days = len(bars.close)
    out = np.empty((days, FEATURES), np.float32)
    nothing = np.zeros(days)
    update_many(
        new_state(1),
        np.zeros(days, np.int64),
        close_ns(bars.dates),
        bars.close,
        bars.volume,
        nothing,
        nothing,
        np.zeros(days, np.bool_),
        out,
    )
    return out


def sigmas(close: Floats) -> Floats:
    """Give ``sigma`` of ``feature_spec`` after each close: [days]."""
    out = np.zeros(len(close))
    variance = 0.0
    for m, r in enumerate(np.diff(np.log(close)), start=1):
        variance += max(2.0 / (SIGMA_SPAN + 1.0), 1.0 / m) * (r * r - variance)
        out[m] = variance
    return np.sqrt(out + FLOOR * FLOOR)


def targets_of(close: Floats, horizon: int = HORIZON) -> npt.NDArray[np.float32]:
    """Give the targets [days - horizon, 4] of each close with ``horizon`` bars after it.

    With ``R`` the log return over the horizon and ``r_i`` its bars' returns: ``R > 0``;
    ``R / sigma``; ``mean(r_i ** 2) / sigma ** 2``; ``|R| > BIG_MOVE * sigma * sqrt(horizon)``.
    """
    r = np.diff(np.log(close))
    ahead = np.lib.stride_tricks.sliding_window_view(r, horizon)
    sigma = sigmas(close)[: len(ahead)]
    total = ahead.sum(axis=1)
    columns = (
        total > 0,
        total / sigma,
        (ahead**2).mean(axis=1) / sigma**2,
        np.abs(total) > BIG_MOVE * sigma * np.sqrt(horizon),
    )
    return np.column_stack(columns).astype(np.float32)


def samples_of(assets: Sequence[Bars]) -> Samples:
    """Give the samples of all assets, each from the bar at which its features are ready."""
    parts = []
    warm = TICK_FEATURES.index("warm")
    for number, bars in enumerate(assets):
        features, targets = bar_features(bars), targets_of(bars.close)
        sigma = sigmas(bars.close)
        usable = (features[:, warm] >= 1.0) & (sigma >= FROZEN)
        rows = np.flatnonzero(usable[: len(targets)])
        parts.append(
            Samples(
                features[rows],
                targets[rows],
                bars.dates[rows],
                bars.dates[rows + HORIZON],
                np.full(len(rows), number, np.int64),
                sigma[rows],
            )
        )
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Samples(*(np.concatenate(column) for column in columns))
