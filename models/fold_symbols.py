"""News, options and insider scores, and what lies ahead: per symbol and over all. Pure.

Below :mod:`relentless.models.fold`. Averages run over a window that ends at ``as_of``; where
nothing in it is fresh they run over the window that ended with the newest message, and are stale.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from relentless.configs.sessions import sessions_ahead
from relentless.models.fold_select import Item, worst
from relentless.proto.daily import FeatureProvenance, Quality, ScheduledEvent
from relentless.proto.errors import InvalidInput

MAX_IDS = 20
"""Messages that a provenance names; its note says of how many."""

_EASTERN = ZoneInfo("America/New_York")
_SENTIMENT = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}
_REPORT_TIME = {"before_open": time(8), "during": time(12), "after_close": time(16, 5)}
_UNKNOWN_REPORT_TIME = time(0)
_NOT_AHEAD = ("cancelled", "reported")


@dataclass(frozen=True, slots=True)
class Average:
    """A feature over many messages, its values per symbol, and the messages that it used."""

    provenance: FeatureProvenance
    by_symbol: Mapping[str, float]
    used: tuple[Item, ...]


def news_score(context: Mapping[str, Any]) -> float:
    """Give a story's score in [-1, 1]; where it states none, its sentiment as +1, 0 or -1."""
    score = context.get("score")
    return _SENTIMENT[context["sentiment"]] if score is None else float(score)


def average(
    items: Iterable[Item],
    *,
    symbol: str,
    score: Callable[[Mapping[str, Any]], float],
    weight: Callable[[Mapping[str, Any]], float],
    as_of: datetime,
    window: timedelta,
    source: str,
) -> Average:
    """Average scores per symbol by weight, then over the symbols by their mean weight.

    ``symbol`` names the field of the context that holds the symbol. Weights that sum to zero leave
    the feature missing.
    """
    alive = [item for item in items if not item.expired(as_of)]
    if not alive:
        return Average(FeatureProvenance(source=source, note="nothing known"), {}, ())
    newest = max(item.known_at for item in alive)
    fresh = as_of - newest <= window
    since = (as_of if fresh else newest) - window
    used = sorted(
        (item for item in alive if item.known_at >= since),
        key=lambda item: (item.known_at, item.observed_at, item.sequence),
        reverse=True,
    )
    groups: dict[str, list[tuple[float, float]]] = {}
    for item in used:
        context = item.context
        groups.setdefault(context[symbol], []).append((score(context), weight(context)))
    means: dict[str, float] = {}
    weights: dict[str, float] = {}
    for name in sorted(groups):
        total = math.fsum(w for _, w in groups[name])
        if total > 0:
            means[name] = math.fsum(s * w for s, w in groups[name]) / total
            weights[name] = total / len(groups[name])
    total = math.fsum(weights.values())
    value = math.fsum(means[name] * weights[name] for name in means) / total if total else None
    quality = Quality.MISSING if value is None else Quality.OK if fresh else Quality.STALE
    notes = [f"{len(used)} messages about {len(groups)} symbols"]
    if quality is Quality.STALE:
        notes.append("too old")
    provenance = FeatureProvenance(
        value=value,
        observed_at=min(item.observed_at for item in used),
        known_at=max(item.known_at for item in used),
        message_ids=tuple(item.message_id for item in used[:MAX_IDS]),
        quality=quality,
        source=source,
        origin=worst(item.origin for item in used),
        note="; ".join(notes),
    )
    return Average(provenance, means if quality is Quality.OK else {}, tuple(used))


def report_at(context: Mapping[str, Any]) -> datetime:
    """Give an earnings report's time: 08:00, 12:00 or 16:05 Eastern, 00:00 where unknown."""
    at = _REPORT_TIME.get(context.get("when", "unknown"), _UNKNOWN_REPORT_TIME)
    day = date.fromisoformat(context["report_date"])
    return datetime.combine(day, at, _EASTERN).astimezone(UTC)


def earnings_ahead(
    items: Iterable[Item], *, as_of: datetime, trading_date: date, horizon: timedelta
) -> tuple[dict[str, tuple[ScheduledEvent, ...]], list[Item]]:
    """Give the reports from the trading date to the horizon, by symbol, and their messages.

    One that was cancelled, or that has been made, lies no longer ahead.
    """
    events: dict[str, list[ScheduledEvent]] = {}
    used = []
    for item in items:
        context = item.context
        day = date.fromisoformat(context["report_date"])
        if item.expired(as_of) or not trading_date <= day <= trading_date + horizon:
            continue
        if context.get("status") in _NOT_AHEAD:
            continue
        used.append(item)
        quarter = context.get("fiscal_quarter")
        name = f"{context['symbol']} earnings" + (f" {quarter}" if quarter else "")
        event = ScheduledEvent(
            kind="earnings",
            name=name[:200],
            at=report_at(context),
            in_trading_days=_in_trading_days(trading_date, day),
        )
        events.setdefault(context["symbol"], []).append(event)
    return {symbol: _in_order(events[symbol]) for symbol in sorted(events)}, used


def releases_ahead(
    items: Iterable[Item], *, as_of: datetime, trading_date: date, horizon: timedelta
) -> tuple[tuple[ScheduledEvent, ...], list[Item]]:
    """Give the economic releases from ``as_of`` to the horizon, in order, and their messages.

    A date that the calendar no longer has is left out. A release of which only the day is known is
    ahead until that day is over.
    """
    events: list[ScheduledEvent] = []
    used = []
    for item in items:
        context = item.context
        at = datetime.fromisoformat(context["release_at"]).astimezone(UTC)
        until = at if context.get("time_known", True) else at + timedelta(days=1)
        if item.expired(as_of) or until < as_of or at > as_of + horizon:
            continue
        if context.get("status") == "withdrawn":
            continue
        used.append(item)
        event = ScheduledEvent(
            kind="macro",
            name=context["event"],
            at=at,
            importance=context.get("importance"),
            in_trading_days=_in_trading_days(trading_date, at.astimezone(_EASTERN).date()),
        )
        events.append(event)
    return _in_order(events), used


def _in_trading_days(trading_date: date, day: date) -> int | None:
    """Count the sessions up to a day; None past the exchange's table, a constant of the code."""
    try:
        return sessions_ahead(trading_date, day)
    except InvalidInput:
        return None


def _in_order(events: Iterable[ScheduledEvent]) -> tuple[ScheduledEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.at, event.name)))
