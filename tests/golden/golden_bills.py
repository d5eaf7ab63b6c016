"""The golden values of pending bills on 7 October 2013, from the recorded list of bills.

A part of golden_20131007.py; like it, independent of the project. The word lists and the tables of
sectors are read from docs/agents/congress.md, so that a document that is out of step fails here.
"""

import csv
import gzip
import math
import re
from datetime import date, timedelta
from pathlib import Path

from golden_passage import chance_of, introduced
from golden_rates import at, said

RULES = Path(__file__).resolve().parents[2] / "docs" / "agents" / "congress.md"
LAW_RATE = {
    "introduced": 0.03,
    "reported": 0.16,
    "passed_house": 0.28,
    "passed_senate": 0.46,
    "passed_both": 0.89,
    "presented": 0.91,
}
"""By which the agent ranks before it reads facts; the first 250 are scored by the model."""
WEIGHT = {"finance": 1.0, "tax": 0.8, "regulation": 0.8, "healthcare": 0.6, "energy_climate": 0.6}
WEIGHT |= {"trade": 0.6, "defense": 0.5, "infrastructure": 0.5}
RULE_WEIGHT = {"regulation": 1.0, "finance": 0.5, "healthcare": 0.5, "energy_climate": 0.5}
TYPES = ("hr", "s", "hjres", "sjres")
ACTED = {"ih", "is", "rh", "rs", "pcs", "fph", "eh", "rds", "rfs", "cps", "es", "rfh", "eas", "eah"}
NAMED = {
    "Engrossed Amendment House": "eah",
    "Engrossed in Senate": "es",
    "Referred in Senate": "rfs",
}


def tables():
    """Read the tables of the rules: {first cell: other cells}, by heading."""
    found, heading = {}, ""
    for line in RULES.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(heading, {})[cells[0]] = cells[1:]
    return found


def split(cell):
    return [word.strip() for word in cell.split(",")]


def pattern(cell):
    """Match any of the listed words or phrases as a whole."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, split(cell)))})\b")


def steps_before(row, day):
    """Give the bill's dated steps before a day: (date, code); "enr@not" has no date."""
    steps = []
    for entry in row["versions"].split("|"):
        name, _, when = entry.rpartition("@")
        code = re.search(r"\((\w+)\)$", name)
        steps.append((when, code.group(1) if code else NAMED.get(name, "")))
    milestones = ("passed_house", "passed_senate", "presented", "signed", "vetoed")
    steps += [(row[f"{name}_date"], name) for name in milestones]
    dated = [(w, code) for w, code in steps if re.fullmatch(r"\d{4}-\d\d-\d\d", w)]
    if not {code for _, code in dated} & {"ih", "is"}:
        dated.append((row["first_date"], "ih"))
    acted = ACTED.union(milestones)
    return [(date.fromisoformat(w), code) for w, code in dated if code in acted and w < str(day)]


def stage_of(steps):
    codes = {code for _, code in steps}
    passed = max((day for day, c in steps if c in ("passed_house", "passed_senate")), default=None)
    failed = max((day for day, c in steps if c == "fph"), default=None)
    if codes & {"signed", "vetoed"} or (failed and (passed is None or passed < failed)):
        return None
    if "presented" in codes:
        return "presented"
    if {"passed_house", "passed_senate"} <= codes:
        return "passed_both"
    for code in ("passed_senate", "passed_house"):
        if code in codes:
            return code
    return "reported" if codes & {"rh", "rs", "pcs"} else "introduced"


def read_bills(folder, day):
    """Give the relevant pending bills as known at the beginning of a day, the heaviest first."""
    rules = tables()
    words = {name: pattern(cells[0]) for name, cells in list(rules["Categories"].items())[1:]}
    sectors = {name: split(cells[1]) for name, cells in list(rules["Categories"].items())[1:]}
    parts = {name: split(cells[0]) for name, cells in list(rules["Committees"].items())[1:]}
    bills = []
    with gzip.open(folder / "congress" / "bills_113.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["type"] not in TYPES or not "2013" <= row["first_date"] < str(day):
                continue
            title = row["official_title_first_version"].lower()
            categories = [name for name, listed in words.items() if listed.search(title)]
            steps = steps_before(row, day)
            stage = stage_of(steps)
            if not categories or stage is None:
                continue
            latest = max(when for when, _ in steps)
            fresh = 2 ** (-(day - latest).days / 30)
            chance = LAW_RATE[stage] * fresh
            committees = row["committees_first"].lower().split("|")
            touched = {sector for name in categories for sector in sectors[name]}
            for part, listed in parts.items():
                if any(part in committee for committee in committees):
                    touched.update(listed)
            bills.append(
                {
                    "id": f"113-{row['type']}-{row['number']}",
                    "order": (-latest.toordinal(), TYPES.index(row["type"]), int(row["number"])),
                    "stage": stage,
                    "latest": latest,
                    "weight": round(chance * max(WEIGHT[name] for name in categories), 12),
                    "text": title,
                    "row": row,
                    "fresh": fresh,
                    "category": max(WEIGHT[name] for name in categories),
                    "rules": max(RULE_WEIGHT.get(n, 0) for n in categories) * 30 / 280,
                    "sectors": touched,
                }
            )
    return sorted(bills, key=lambda bill: (-bill["weight"], *bill["order"]))


def legislation(folder, day):
    """Give the legislative features, the pending bills and the sectors' scores."""
    counted = read_bills(folder, day)[:250]
    for bill in counted:
        chance = chance_of(introduced(bill["row"]), bill["stage"], day) * bill["fresh"]
        bill["weight"] = round(chance * bill["category"], 12)
        bill["rule"] = round(chance * bill["rules"], 12)
    counted.sort(key=lambda bill: (-bill["weight"], *bill["order"]))
    once = {}
    for bill in counted:
        once[bill["text"]] = max(once.get(bill["text"], 0.0), bill["rule"])
    observed = at(min(bill["latest"] for bill in counted), 0, 0)
    known = at(max(max(bill["latest"] for bill in counted) + timedelta(days=1), day), 0, 0)
    nothing = math.prod(1 - rule for rule in once.values())
    names = sorted({sector for bill in counted for sector in bill["sectors"]})
    total = {n: sum(bill["weight"] for bill in counted if n in bill["sectors"]) for n in names}
    past = sum(bill["stage"] not in ("introduced", "reported") for bill in counted)
    risk = 1 - math.exp(-sum(bill["weight"] for bill in counted) / 5)
    features = {
        "legislative_risk_score": said(risk, None, observed, known),
        "regulatory_change_probability": said(1 - nothing, None, observed, known),
        "sector_scores": said(None, None, observed, known),
        "bills_past_a_chamber": said(float(past), None, observed, known),
    }
    pending = [bill["id"] for bill in counted[:50]]
    return features, pending, {name: 1 - math.exp(-total[name] / 2.5) for name in names}
