"""The chance of passage from the shipped coefficients, by code that shares nothing with them.

A part of golden_20131007.py. The rules are those of docs/agents/congress.md; of the recorded row
only the columns of the first text are read. 113th Congress: the coefficients that never saw it.
"""

import math
import re
from datetime import date
from pathlib import Path

import numpy as np

FILE = Path(__file__).resolve().parents[2] / "models" / "passage.npz"
STAGES = ("introduced", "reported", "passed_house", "passed_senate", "passed_both", "presented")
STORE = {}


def stored(name):
    if not STORE:
        with np.load(FILE) as file:
            STORE.update({k[4:]: file[k] for k in file.files if k.startswith("113/")})
        for key in ("terms", "names", "sponsors"):
            words = bytes(STORE[key]).decode().split("\n")
            STORE[key] = {word: place for place, word in enumerate(words)}
    return STORE[name]


def days_left(day):
    return min(max((date(2015, 1, 3) - day).days, 1), 731) / 731


def introduced(row):
    """Give a row's chance as introduced."""
    title = " ".join(row["official_title_first_version"].split())
    plain = title.lower().replace(", and for other purposes", "")
    plain = re.sub("[\u2019']s\\b", "", plain)
    plain = re.sub(r"\d+", "nn", re.sub(r"\b(?:19|20)\d\d\b", "yyyy", plain))
    words = re.findall(r"\w+", plain)
    said = words + [" ".join(words[n : n + 2]) for n in range(len(words) - 1)]
    places = stored("terms")
    vector = {}
    for term in set(said) & set(places):
        at = places[term]
        vector[at] = (1 + math.log(said.count(term))) * float(stored("idf")[at])
    intercept, rate, weight, slope, shift = stored("constants").tolist()
    total = intercept
    if vector:
        length = math.hypot(*vector.values())
        total += sum(v * float(stored("term_weights")[at]) for at, v in vector.items()) / length
    for name, value in make_up(row, title).items():
        if name in stored("names"):
            total += value * float(stored("name_weights")[stored("names")[name]])
    place = stored("sponsors").get(row["sponsor_bioguide"])
    bills, laws = stored("records")[place].tolist() if place is not None else (0, 0)
    total += weight * math.log((laws + 20 * rate) / (bills + 20) / rate)
    return round(1 / (1 + math.exp(-(slope * total + shift))), 9)


def make_up(row, title):
    """Give the features of structure: in 2013 the House was Republican, the Senate Democratic."""
    own_party, kind = row["sponsor_party"], row["type"]
    lead = own_party == ("R" if kind[0] == "h" else "D")
    count, d, r = (int(row[k] or 0) for k in ("cosponsors_first", "cosp_D_first", "cosp_R_first"))
    count = max(count, d + r)
    own, across = (r, d) if own_party == "R" else (d, r)
    gone = 1 - days_left(date.fromisoformat(row["first_date"]))
    listed = [name for name in row["committees_first"].split("|") if name]
    plain = {
        " ".join(w for w in re.findall("[a-z]+", n.lower()) if w not in ("committee", "on", "the"))
        for n in listed
    }
    made = {
        "majority": lead,
        "own": math.log(1 + own),
        "across": math.log(1 + across),
        "bipartisan": across > 0,
        "share across": across / (count + 1),
        "alone": count == 0,
        "majority and bipartisan": lead and across > 0,
        "time": gone,
        "time squared": gone**2,
        "late": gone > 0.75,
        "very late": gone > 0.9,
        "early": gone < 0.02,
        "committees": min(len(listed), 5),
        "no committee": not listed,
        "one committee": len(listed) == 1,
        "length": math.log(1 + len(title.split())),
        "short": len(title.split()) < 10,
        "number": math.log(int(row["number"])) / 5,
        "low number": int(row["number"]) <= 25,
        f"type {kind}": 1,
        f"type {kind}, majority": lead,
    }
    made |= dict.fromkeys((f"committee {name}" for name in plain), 1)
    if len(plain) == 1:
        made |= {f"only {name}": 1 for name in plain}
        made |= {f"only {name}, majority": lead for name in plain}
    return {name: float(value) for name, value in made.items()}


def chance_of(first, stage, day):
    """Give the chance given the stage: the best of the lines up to it."""
    odds, left = math.log(first / (1 - first)), math.log(days_left(day))
    lines = stored("stages").tolist()[: STAGES.index(stage) + 1]
    best = max(constant + slope * odds + time * left for constant, slope, time in lines)
    return round(1 / (1 + math.exp(-best)), 9)
