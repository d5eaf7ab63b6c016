"""Work out the contexts of 7 October 2013 from the recorded files, and hold others against them.

Independent on purpose: it imports nothing of the project and shares none of its code. The rules are
those of docs/context.md and docs/agents/congress.md. ``golden_rates`` and ``golden_bills`` beside
it hold the values; this is the command.

    python tests/golden/golden_20131007.py --recordings DIR                  # print them
    python tests/golden/golden_20131007.py --recordings DIR --check CONTEXTS.json

The second form exits with 1 where a context is missing or differs, and says where.
"""

import argparse
import json
import math
import sys
from datetime import UTC, datetime, time
from pathlib import Path

from golden_bills import legislation
from golden_rates import DAY, EASTERN, rate_features

TIMES = (time(5, 30), time(8, 5), time(9, 25))
TOLERANCE = 1e-9
FIELDS = (
    *("legislative_risk_score", "regulatory_change_probability", "fed_funds_rate"),
    *("yield_curve_slope", "real_interest_rate", "fed_stance", "credit_spread"),
    *("high_yield_spread", "inflation_expectation", "dollar_index", "unemployment_trend"),
    *("news_sentiment", "options_flow_sentiment", "insider_trading_signal"),
)


INVENTED = ("news_sentiment", "options_flow_sentiment", "insider_trading_signal")
"""Features of sources that no recording has for that day: the box invents them, and says so. Here
only their masks and times are held; where no agent ran they are missing."""


def golden(folder):
    """Give the three contexts as far as the rules state them."""
    features, pending, sectors = legislation(folder, DAY)
    contexts = []
    for moment in TIMES:
        as_of = datetime.combine(DAY, moment, EASTERN)
        provenance = rate_features(folder, as_of) | features
        for name in INVENTED:
            provenance[name] = {}
        contexts.append(
            {
                "as_of": as_of,
                "trading_date": DAY.isoformat(),
                "pending_bills": pending,
                "sector_scores": sectors,
                "provenance": provenance,
            }
        )
    return contexts


def same(wanted, found):
    if isinstance(wanted, datetime):
        return isinstance(found, str) and datetime.fromisoformat(found) == wanted
    if isinstance(wanted, float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(same(wanted[k], found[k]) for k in wanted)
    return wanted == found


def differences(wanted, found):
    """Say in words where a context is not the golden one."""
    for name in ("trading_date", "pending_bills", "sector_scores"):
        if not same(wanted[name], found.get(name)):
            yield f"{name}: wanted {wanted[name]}, found {found.get(name)}"
    provenance = found.get("provenance", {})
    if odd := wanted["provenance"].keys() ^ provenance.keys():
        yield f"features: only one side has {sorted(odd)}"
    for name, feature in wanted["provenance"].items():
        there = provenance.get(name, {})
        for key, value in feature.items():
            if not same(value, there.get(key)):
                yield f"{name}.{key}: wanted {plain(value)}, found {there.get(key)}"
    yield from masks(wanted["as_of"], provenance, found)


def masks(as_of, provenance, found):
    """A value is stated exactly where it is ok, and nothing is known later than the context."""
    for name, feature in provenance.items():
        known = feature.get("known_at")
        if known and datetime.fromisoformat(known) > as_of:
            yield f"{name}: known at {known}, after the context's {as_of.isoformat()}"
        if name == "sector_scores":
            continue
        origin = feature.get("origin")
        if name in INVENTED and feature.get("quality") == "ok" and origin != "synthetic":
            yield f"{name}: invented, and labelled {origin}"
        stated = found.get(name) if name in FIELDS else found.get("extra", {}).get(name)
        usable = feature.get("value") if feature.get("quality") == "ok" else None
        if stated != usable:
            yield f"{name}: the context states {stated}, its provenance allows {usable}"


def plain(value):
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def check(folder, path):
    """Print what differs; give the exit code."""
    there = {datetime.fromisoformat(c["as_of"]): c for c in json.loads(path.read_text())}
    problems = []
    for wanted in golden(folder):
        label = wanted["as_of"].strftime("%H:%M")
        found = there.get(wanted["as_of"].astimezone(UTC))
        if found is None:
            problems.append(f"{label}: no such context among {len(there)}")
        else:
            problems += [f"{label} {line}" for line in differences(wanted, found)]
    for problem in problems:
        print(f"golden: {problem}")
    print(f"golden: {len(problems)} differences in {len(TIMES)} contexts")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--check", type=Path)
    asked = parser.parse_args()
    if asked.check:
        return check(asked.recordings, asked.check)
    print(json.dumps(golden(asked.recordings), indent=1, default=plain))
    return 0


if __name__ == "__main__":
    sys.exit(main())
