"""Which way a bill would move markets, and how much: a stated formula, not a fit. Pure.

    market_impact = direction x category weight x likelihood

Direction is (supportive - restrictive) / (supportive + restrictive) over the distinct words of the
title, 0 without any. The words and weights are judgements: docs/agents/congress.md repeats them.
"""

import re
from collections.abc import Iterable

from relentless.models.legislation import category_weight

SUPPORTIVE = frozenset(
    {
        *("appropriation", "appropriations", "appropriating", "credit", "credits", "deduction"),
        *("deductions", "exempt", "exemption", "exemptions", "expand", "extend", "extension"),
        *("facilitate", "fund", "funding", "grant", "grants", "incentive", "incentives", "invest"),
        *("investment", "permanent", "promote", "reauthorize", "reduce", "relief", "repeal"),
        *("simplify", "stimulus", "streamline", "suspend"),
    }
)
RESTRICTIVE = frozenset(
    {
        *("ban", "cap", "deny", "disapproving", "enforcement", "fee", "fees", "fine", "fines"),
        *("impose", "imposes", "increase", "limit", "limitation", "mandatory", "penalties"),
        *("penalty", "prevent", "prohibit", "prohibiting", "prohibits", "require", "requires"),
        *("rescind", "restrict", "restriction", "restrictions", "sanction", "sanctions", "surtax"),
        *("tariff", "tariffs", "terminate"),
    }
)
_WORD = re.compile(r"\w+")


def market_impact(
    title: str, categories: Iterable[str], likelihood: float
) -> tuple[float, dict[str, float]]:
    """Give the impact in [-1, 1] and its parts; its size never falls as the likelihood rises."""
    words = set(_WORD.findall(title.lower()))
    supportive, restrictive = len(words & SUPPORTIVE), len(words & RESTRICTIVE)
    told = supportive + restrictive
    direction = round((supportive - restrictive) / told, 9) if told else 0.0
    weight = category_weight(categories)
    parts = {
        "direction": direction,
        "supportive_words": float(supportive),
        "restrictive_words": float(restrictive),
        "category_weight": weight,
        "likelihood": likelihood,
    }
    return round(direction * weight * likelihood, 9), parts
