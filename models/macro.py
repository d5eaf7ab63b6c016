"""Macro history for training: what a daily context would have said on a past morning.

Reads FRED series from CSV files and answers for any moment by the same release table, freshness
rules and feature formulas as the live context, so that training sees no value before FRED could
have served it. The files hold today's vintage: a number that was revised since (UNRATE, the price
indices' seasonal factors, DTWEXBGS) is the revised one, at the time of its first release.

Only series of the US Government and the Federal Reserve: figures that belong to ICE and Cboe take
no part in the shipped weights.
"""

import bisect
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from relentless.configs import freshness
from relentless.configs.freshness import Freshness
from relentless.configs.releases import SERIES, ReleaseTable
from relentless.models.context_vector import SCALES, STANCES
from relentless.models.fold_rates import RATE_FEATURES, RateFeature
from relentless.proto.errors import InvalidInput

OTHERS_PROPERTY = frozenset({"BAMLH0A0HYM2", "BAMLC0A0CM", "VIXCLS"})
"""ICE's and Cboe's."""
MACRO_SERIES: tuple[str, ...] = tuple(name for name in SERIES if name not in OTHERS_PROPERTY)
WINDOW_DAYS = 730
MIN_WINDOW = 8

Observation = tuple[date, float]
_ZSCORED = frozenset(
    series
    for feature in RATE_FEATURES
    if feature.name.endswith("_zscore")
    for series in feature.series
)


@dataclass(frozen=True)
class Release:
    """One observation as an agent would have published it."""

    known_at: datetime
    context: Mapping[str, Any]


class Macro:
    """The releases of every series, asked by moment."""

    def __init__(self, releases: Mapping[str, Sequence[Release]], rules: Freshness) -> None:
        """Take each series' releases in the order of their observations."""
        self._rules = rules
        self._releases = {}
        for series, given in releases.items():
            newest: datetime | None = None
            kept = []
            for release in given:  # an observation that came out late hides nothing newer
                newest = max(release.known_at, newest or release.known_at)
                kept.append((newest, release))
            self._releases[series] = kept

    def at(self, as_of: datetime) -> dict[str, float | None]:
        """Give the context's macro features as of a moment; None where missing or stale."""
        standing = {series: self._standing(series, as_of) for series in self._releases}
        return {
            feature.name: _read(feature, standing)
            for feature in RATE_FEATURES
            if feature.name in SCALES
        }

    def _standing(self, series: str, as_of: datetime) -> Mapping[str, Any] | None:
        releases = self._releases[series]
        at = bisect.bisect_right(releases, as_of, key=lambda pair: pair[0]) - 1
        if at < 0:
            return None
        release, age = releases[at][1], self._rules.series_max_age(series)
        fresh = age is None or as_of - release.known_at <= age
        return release.context if fresh else None


def load_macro(folder: Path, series: Sequence[str] = MACRO_SERIES) -> Macro:
    """Read ``<SERIES>.csv`` of every series from a folder.

    Raises:
        InvalidInput: the folder or a file is absent, or a row is no observation.

    """
    missing = [name for name in series if not (folder / f"{name}.csv").is_file()]
    if missing:
        raise InvalidInput(
            f"{folder} lacks {', '.join(f'{name}.csv' for name in missing)}. Training needs these "
            "FRED series as CSV files with a header and the columns date,value; each can be "
            "downloaded from its page at FRED. Give their folder with --macro."
        )
    table = ReleaseTable.load()
    releases = {
        name: [
            Release(table.known_at(name, day), context)
            for day, context in contexts_of(name, read_observations(folder / f"{name}.csv"))
        ]
        for name in series
    }
    return Macro(releases, freshness.load())


def read_observations(path: Path) -> list[Observation]:
    """Read a series: a header, then ``date,value``; "." or nothing is a day without a value.

    Raises:
        InvalidInput: with the line that is none of these.

    """
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            try:
                day, text = date.fromisoformat(row[0]), row[1].strip()
                if text not in ("", "."):
                    found.append((day, float(text)))
            except (IndexError, ValueError) as error:
                raise InvalidInput(
                    f"{path.name}, line {rows.line_num}: {','.join(row)!r} is not date,value"
                ) from error
    return sorted(found)


def contexts_of(
    series: str, observations: Sequence[Observation]
) -> list[tuple[date, dict[str, Any]]]:
    """Give each observation with what its own past says of it, in the words of ``Rates``."""
    months = {(day.year, day.month): value for day, value in observations}
    monthly = len(months) == len(observations)
    scores = _zscores(observations) if series in _ZSCORED else [None] * len(observations)
    rows: list[tuple[date, dict[str, Any]]] = []
    for index, (day, value) in enumerate(observations):
        previous = observations[index - 1][1] if index else None
        context: dict[str, Any] = {
            "value": value,
            "previous": previous,
            "change": None if previous is None else value - previous,
            "zscore": scores[index],
        }
        if monthly:
            quarter, year = months.get(_months_before(day, 3)), months.get(_months_before(day, 12))
            context["change_3m"] = None if quarter is None else value - quarter
            context["change_12m_pct"] = None if not year else 100.0 * (value / year - 1.0)
        rows.append((day, context))
    return rows


def _zscores(observations: Sequence[Observation]) -> list[float | None]:
    values = np.array([value for _, value in observations])
    days = [day for day, _ in observations]
    scores: list[float | None] = []
    for index, day in enumerate(days):
        window = values[bisect.bisect_right(days, day - timedelta(WINDOW_DAYS)) : index + 1]
        if len(window) < MIN_WINDOW or window.min() == window.max():
            scores.append(None)
        else:
            scores.append(float((values[index] - window.mean()) / window.std(ddof=1)))
    return scores


def _months_before(day: date, count: int) -> tuple[int, int]:
    month = day.year * 12 + day.month - 1 - count
    return month // 12, month % 12 + 1


def _read(feature: RateFeature, standing: Mapping[str, Mapping[str, Any] | None]) -> float | None:
    contexts = [context for name in feature.series if (context := standing.get(name)) is not None]
    if len(contexts) < len(feature.series):
        return None
    value = feature.value(contexts)
    return STANCES[value] if isinstance(value, str) else value
