"""What pending bills say about risk: weights, scores, and their order. Pure.

Below :mod:`relentless.models.fold_legislation`; the Congress agent ranks bills by the same weight.
Every score is monotone: one more bill, a later stage, a more recent action or a more relevant
category never lowers it. The constants' sources and measurements: docs/context.md.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

STAGE_LAW_RATE: Mapping[str, float] = {
    "introduced": 0.03,
    "reported": 0.16,
    "passed_house": 0.28,
    "passed_senate": 0.46,
    "passed_both": 0.89,
    "presented": 0.91,
}
"""Share of law-capable bills that became law, by the stage reached: 113th to 116th Congress.

Only these stages are pending. A bill that a chamber passed first counts there; "both" does not
say that both passed the same text.
"""
CATEGORY_WEIGHT: Mapping[str, float] = {
    "finance": 1.0,
    "tax": 0.8,
    "regulation": 0.8,
    "healthcare": 0.6,
    "energy_climate": 0.6,
    "trade": 0.6,
    "defense": 0.5,
    "infrastructure": 0.5,
}
"""How directly a category bears on listed companies and on the Treasury: a stated judgement."""
REGULATION_WEIGHT: Mapping[str, float] = {
    "regulation": 1.0,
    "finance": 0.5,
    "healthcare": 0.5,
    "energy_climate": 0.5,
}
"""Share of a category's bills taken to change rules: all of one, half of the regulated trades."""
OTHER_CATEGORY_WEIGHT = 0.2
HALF_LIFE_DAYS = 30.0
"""A bill without an action counts half as much after so many days."""
RISK_SCALE = 5.0
"""Sum of weights at which the risk score reads 1 - 1/e; the 113th Congress ran from 1.3 to 14.3."""
SECTOR_SCALE = 2.5
HORIZON_SHARE = 30.0 / 280.0
"""Share of a bill's chance that falls into the next 30 days: law took 280 days in the mean."""
DECIMALS = 12
"""Weights and scores are rounded: exp and pow differ in their last bit between machines."""
MAX_PENDING = 50

PAST_A_CHAMBER = frozenset({"passed_house", "passed_senate", "passed_both", "presented"})

_TYPE_ORDER = {"hr": 0, "s": 1, "hjres": 2, "sjres": 3}
_NUMBER = re.compile(r"^(\d+)-([a-z]+)-(\d+)$")


@dataclass(frozen=True, slots=True)
class Bill:
    """A pending bill, its weight in [0, 1], and its chance to change rules within 30 days."""

    bill_id: str
    stage: str
    weight: float
    rule_change: float
    latest_action_date: date
    sectors: tuple[str, ...]
    text: str = ""
    """The title in lower case: bills of one title are taken to carry one text."""

    @property
    def prominence(self) -> tuple[float, int]:
        """Sort key: the most relevant first, then the most recent action."""
        return (-self.weight, -self.latest_action_date.toordinal())

    @property
    def order(self) -> tuple[float, int, tuple[int, int, str, int]]:
        """The same, and then by number: no two bills are equal."""
        return (*self.prominence, number_order(self.bill_id))


def number_order(bill_id: str) -> tuple[int, int, str, int]:
    """Give a bill's place in the order of Congress, type and number.

    Raises:
        ValueError: not of the form "113-hjres-59".
    """
    match = _NUMBER.match(bill_id)
    if match is None:
        raise ValueError(f"{bill_id!r} is not a bill id such as '113-hjres-59'")
    congress, kind, number = match.groups()
    return (int(congress), _TYPE_ORDER.get(kind, len(_TYPE_ORDER)), kind, int(number))


@lru_cache(maxsize=1024)
def recency(latest_action: date, today: date) -> float:
    """Give a weight in (0, 1] that halves every ``HALF_LIFE_DAYS`` since the latest action."""
    return float(2.0 ** (-max((today - latest_action).days, 0) / HALF_LIFE_DAYS))


def category_weight(categories: Iterable[str]) -> float:
    """Give the weight of the most relevant category; a bill outside all counts little."""
    return max(
        (CATEGORY_WEIGHT.get(name, OTHER_CATEGORY_WEIGHT) for name in categories),
        default=OTHER_CATEGORY_WEIGHT,
    )


def relevance(
    stage: str, latest_action: date, categories: Iterable[str], today: date
) -> float | None:
    """Give a pending bill's weight in (0, 1]: chance to become law x recency x category.

    None where the stage is not pending (law, vetoed, failed).
    """
    chance = STAGE_LAW_RATE.get(stage)
    if chance is None:
        return None
    return _weight(chance * recency(latest_action, today), category_weight(categories))


def read_bill(context: Mapping[str, Any], today: date) -> Bill | None:
    """Give the bill of a legislation context, or None where it is pending no longer.

    ``likelihood_pass``, where the sender states it, replaces the rate of the stage.
    """
    chance = STAGE_LAW_RATE.get(context["stage"])
    if chance is None:
        return None
    likelihood = context.get("likelihood_pass")
    if likelihood is not None:
        chance = float(likelihood)
    latest = date.fromisoformat(context["latest_action_date"])
    fresh_chance = chance * recency(latest, today)
    category, rules = _weights_of(tuple(context.get("categories") or ()))
    return Bill(
        bill_id=context["bill_id"],
        stage=context["stage"],
        weight=_weight(fresh_chance, category),
        rule_change=_weight(fresh_chance, rules),
        latest_action_date=latest,
        sectors=tuple(context.get("sectors_affected") or ()),
        text=str(context.get("title") or context["bill_id"]).lower(),
    )


@lru_cache(maxsize=512)
def _weights_of(categories: tuple[str, ...]) -> tuple[float, float]:
    """Give the weight of the most relevant category, and of rules within the next 30 days."""
    rules = max((REGULATION_WEIGHT.get(name, 0.0) for name in categories), default=0.0)
    return category_weight(categories), rules * HORIZON_SHARE


def _weight(fresh_chance: float, share: float) -> float:
    return round(fresh_chance * share, DECIMALS)


def past_a_chamber(bills: Iterable[Bill]) -> int:
    """Count the bills that at least one chamber has passed."""
    return sum(bill.stage in PAST_A_CHAMBER for bill in bills)


def risk_score(bills: Sequence[Bill]) -> float:
    """Give the legislative risk in [0, 1]: ``1 - exp(-sum of weights / RISK_SCALE)``."""
    return _saturated(math.fsum(bill.weight for bill in bills) / RISK_SCALE)


def rule_change_probability(bills: Sequence[Bill]) -> float:
    """Give the probability in [0, 1] that one or more change rules as law within 30 days.

    ``1 - product of (1 - p)``. Bills of the same title (companions in the two chambers, a bill
    introduced again) count once, by the likeliest; the others are taken as independent, which
    still overstates it where one text travels under several titles.
    """
    texts: dict[str, float] = {}
    for bill in bills:
        text = bill.text or bill.bill_id
        texts[text] = max(texts.get(text, 0.0), bill.rule_change)
    return _saturated(-math.fsum(math.log1p(-p) for p in texts.values()))


def sector_scores(bills: Iterable[Bill]) -> dict[str, float]:
    """Give each affected sector's exposure in [0, 1]: ``1 - exp(-sum of weights / SECTOR_SCALE)``.

    A sector that no pending bill touches is absent. The order is alphabetical.
    """
    weights: dict[str, list[float]] = {}
    for bill in bills:
        for sector in set(bill.sectors):
            weights.setdefault(sector, []).append(bill.weight)
    return {
        sector: _saturated(math.fsum(weights[sector]) / SECTOR_SCALE) for sector in sorted(weights)
    }


def _saturated(amount: float) -> float:
    """Give ``1 - exp(-amount)``, rounded: 0 for nothing, towards 1 for much."""
    return round(1.0 - math.exp(-amount), DECIMALS)
