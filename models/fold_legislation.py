"""The legislative features of a context, from the bills' messages. Pure.

Below :mod:`relentless.models.fold`; the formulas are :mod:`relentless.models.legislation`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from heapq import nsmallest

from relentless.configs.freshness import Freshness
from relentless.models.fold_select import Item, worst
from relentless.models.fold_symbols import MAX_IDS
from relentless.models.legislation import (
    MAX_PENDING,
    Bill,
    past_a_chamber,
    read_bill,
    risk_score,
    rule_change_probability,
    sector_scores,
)
from relentless.proto.daily import FeatureProvenance, Quality

FEATURES = ("legislative_risk_score", "regulatory_change_probability", "sector_scores")
EXTRA = ("bills_past_a_chamber",)
SOURCE = "Congress.gov v3 bill"


@dataclass(frozen=True, slots=True)
class LegislationPart:
    """What the bills give a context, and the messages that were counted."""

    provenance: Mapping[str, FeatureProvenance]
    pending: tuple[str, ...]
    sectors: Mapping[str, float]
    used: tuple[Item, ...]


def legislation_features(
    items: Iterable[Item], *, as_of: datetime, trading_date: date, rules: Freshness
) -> LegislationPart:
    """Give the scores over the most relevant pending bills.

    Expired messages count only where nothing else is left, and the features are then stale. They
    are stale too where the newest action, which ``observed_at`` dates, is too old.
    """
    read = ((read_bill(item.context, trading_date), item) for item in items)
    pending = [(bill, item) for bill, item in read if bill is not None]
    alive = [(bill, item) for bill, item in pending if not item.expired(as_of)]
    counted = _most_relevant(alive or pending, rules.bills_counted)
    if not counted:
        nothing = FeatureProvenance(source=SOURCE, note="no pending bill is known")
        return LegislationPart(dict.fromkeys((*FEATURES, *EXTRA), nothing), (), {}, ())
    bills = [bill for bill, _ in counted]
    used = tuple(item for _, item in counted)
    newest = max(item.known_at for item in used)
    newest_action = max(item.observed_at for item in used)
    observed_at = min(item.observed_at for item in used)
    origin = worst(item.origin for item in used)
    message_ids = tuple(item.message_id for item in used[:MAX_IDS])

    def said(name: str, value: float | None) -> FeatureProvenance:
        fresh = bool(alive) and as_of - newest_action <= rules.feature_max_age(name)
        return FeatureProvenance(
            value=value,
            observed_at=observed_at,
            known_at=newest,
            message_ids=message_ids,
            quality=Quality.OK if fresh else Quality.STALE,
            source=SOURCE,
            origin=origin,
            note=f"{len(used)} pending bills" + ("" if fresh else "; too old"),
        )

    provenance = {
        "legislative_risk_score": said("legislative_risk_score", risk_score(bills)),
        "regulatory_change_probability": said(
            "regulatory_change_probability", rule_change_probability(bills)
        ),
        "sector_scores": said("sector_scores", None),
        "bills_past_a_chamber": said("bills_past_a_chamber", float(past_a_chamber(bills))),
    }
    fresh = provenance["legislative_risk_score"].quality is Quality.OK
    sectors_fresh = provenance["sector_scores"].quality is Quality.OK
    return LegislationPart(
        provenance,
        tuple(bill.bill_id for bill in bills[:MAX_PENDING]) if fresh else (),
        sector_scores(bills) if sectors_fresh else {},
        used,
    )


def _most_relevant(bills: Sequence[tuple[Bill, Item]], count: int) -> Sequence[tuple[Bill, Item]]:
    """Give the first ``count`` in the order of bills; numbers are read only where they decide."""
    bar = nsmallest(count, (bill.prominence for bill, _ in bills))[-1:]
    close = [pair for pair in bills if [pair[0].prominence] <= bar]
    return sorted(close, key=lambda pair: pair[0].order)[:count]
