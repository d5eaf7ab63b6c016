"""One issuer's signal from its reports, as of a moment. Pure.

Over the trades that became public within the last 30 days, b and s sum what each insider bought and
sold:

    b = sum of  c * r * V / (V + 100,000)      s = 1/4 of the same sum over sales
    score = (b - s) / (b + s + 1)

V is what the insider paid or received in dollars, c the weight of their class, r that of their tie.
Three officers or directors who bought lift the score to at least 0.5. Another purchase never lowers
the score, another sale never raises it, and it lies within (-1, 1). The reasons and the sources are
in docs/agents/insider.md.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relentless.agents.insider.routine import Kind, classify
from relentless.agents.insider.trades import Report, Trade, closeness, economic_trades

WINDOW: Final = timedelta(days=30)
CLASS_WEIGHT: Final[Mapping[Kind, float]] = {
    "opportunistic": 1.0,
    "unclassified": 0.5,
    "routine": 0.0,
}
TIE_WEIGHT: Final = (1.0, 0.8, 0.5, 0.25)
"""Officer, director, another tie, holder of ten per cent alone."""
HALF_SIZE: Final = 100_000.0
"""Dollars at which a trade counts half as much as one without limit."""
SALES: Final = 0.25
PRIOR: Final = 1.0
CLUSTER: Final = 3
CLUSTER_FLOOR: Final = 0.5


@dataclass(frozen=True, slots=True)
class Signal:
    """What an issuer's insiders did, as of a moment."""

    issuer_cik: int
    score: float
    trades: tuple[Trade, ...]
    """Of the window, the newest first; planned ones are among them."""
    kinds: tuple[Kind, ...]
    """The class of each trade's insider in the year of the trade."""
    cluster: bool
    changed_at: datetime
    """When the window's content last changed: a report came, or a trade left."""
    ends_at: datetime
    """When the newest trade leaves the window."""

    def chosen(self, kind: Kind) -> int:
        """Count the trades of a class, planned ones aside."""
        pairs = zip(self.trades, self.kinds, strict=True)
        return sum(k == kind and not trade.row.plan for trade, k in pairs)

    def value(self, *, purchase: bool, plan: bool = False) -> float:
        """Give the dollars bought or sold, within plans or outside of them."""
        return math.fsum(
            trade.value
            for trade in self.trades
            if trade.row.purchase is purchase and trade.row.plan is plan
        )

    def insiders(self, *, purchase: bool) -> int:
        """Count those who bought or sold outside of plans."""
        return len(
            {
                trade.insider.cik
                for trade in self.trades
                if trade.row.purchase is purchase and not trade.row.plan
            }
        )


def issuer_signal(reports: Iterable[Report], as_of: datetime) -> Signal | None:
    """Give the signal of one issuer; None where no trade of the window was ever reported.

    Args:
        reports: what is kept of the issuer's filings, of years for the classes. Those known after
            ``as_of`` change nothing.
        as_of: the end of the window.
    """
    known = [report for report in reports if report.known_at <= as_of]
    trades = economic_trades(known)
    within = [trade for trade in trades if trade.known_at > as_of - WINDOW]
    if not within:
        return _withdrawn(known, as_of)
    within.sort(key=lambda trade: (trade.known_at, trade.row.day, trade.accessions), reverse=True)
    kinds = _kinds(within, trades)
    score, cluster = score_of(within, kinds)
    return Signal(
        issuer_cik=within[0].issuer_cik,
        score=score,
        trades=tuple(within),
        kinds=kinds,
        cluster=cluster,
        changed_at=_changed_at(known, trades, as_of),
        ends_at=within[0].known_at + WINDOW,
    )


def score_of(trades: Sequence[Trade], kinds: Sequence[Kind]) -> tuple[float, bool]:
    """Give the score of a window's trades and whether insiders bought in a cluster."""
    bought: dict[tuple[int, float], float] = {}
    sold: dict[tuple[int, float], float] = {}
    buyers: set[int] = set()
    for trade, kind in zip(trades, kinds, strict=True):
        tie = closeness(trade.insider)
        weight = 0.0 if trade.row.plan else CLASS_WEIGHT[kind] * TIE_WEIGHT[tie]
        if not weight:
            continue
        side = bought if trade.row.purchase else sold
        key = (trade.insider.cik, weight)
        side[key] = side.get(key, 0.0) + trade.value
        if trade.row.purchase and tie <= 1:
            buyers.add(trade.insider.cik)
    b, s = _strength(bought), SALES * _strength(sold)
    score = (b - s) / (b + s + PRIOR)
    cluster = len(buyers) >= CLUSTER
    return round(max(score, CLUSTER_FLOOR) if cluster else score, 9), cluster


def _strength(values: Mapping[tuple[int, float], float]) -> float:
    return math.fsum(
        weight * value / (value + HALF_SIZE) for (_, weight), value in sorted(values.items())
    )


def _kinds(within: Sequence[Trade], trades: Sequence[Trade]) -> tuple[Kind, ...]:
    past: dict[int, list[Trade]] = {}
    for trade in trades:
        past.setdefault(trade.insider.cik, []).append(trade)
    found: dict[tuple[int, int], Kind] = {}
    for trade in within:
        key = (trade.insider.cik, trade.row.day.year)
        if key not in found:
            found[key] = classify(past[trade.insider.cik], trade.row.day.year)
    return tuple(found[trade.insider.cik, trade.row.day.year] for trade in within)


def _changed_at(known: Sequence[Report], trades: Sequence[Trade], as_of: datetime) -> datetime:
    """Give the last moment by ``as_of`` at which a report came or something left the window.

    It never moves back while reports are only added, so a newer message is never hidden by an
    older one.
    """
    moments = {report.known_at for report in known if report.rows or report.amends}
    moments |= {trade.known_at for trade in trades}
    left = {moment + WINDOW for moment in moments if moment + WINDOW <= as_of}
    return max(moments | left)


def _withdrawn(known: Sequence[Report], as_of: datetime) -> Signal | None:
    """Say zero where amendments took back every trade of the window; None where there was none."""
    originals = economic_trades(report for report in known if not report.amends)
    within = [trade.known_at for trade in originals if trade.known_at > as_of - WINDOW]
    if not within:
        return None
    changed = _changed_at(known, originals, as_of)
    return Signal(known[0].issuer_cik, 0.0, (), (), False, changed, max(within) + WINDOW)
