"""How likely a bill is to become law: as introduced, then by how far it came. Pure.

Logistic regression over the words of the official title, the committees and the make-up of the
sponsors, fitted on the 113th to 116th Congress and shipped as ``passage.npz``. Below the Congress
agent; :mod:`relentless.models.passage_fit` writes the file. Run time needs numpy alone. Method,
folds and figures: docs/agents/congress.md.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("passage.npz")
STAGES = ("introduced", "reported", "passed_house", "passed_senate", "passed_both", "presented")
"""The pending stages, the furthest last."""
ALL = "all"
"""The name of the coefficients fitted on every Congress of the file."""
PRIOR_BILLS = 20.0
"""A sponsor's record counts as if so many bills at the average rate came before it."""
DECIMALS = 9
"""Chances are rounded: exp and log differ in their last bit between machines."""

_HOUSE = {113: "R", 114: "R", 115: "R", 116: "D", 117: "D", 118: "R", 119: "R"}
_SENATE = {113: "D", 114: "R", 115: "R", 116: "R", 117: "D", 118: "D", 119: "R"}
_TOKEN = re.compile(r"\b\w+\b")
_NAME = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Introduced:
    """A bill as its first text shows it; nothing here is known later."""

    congress: int
    kind: str
    """"hr", "s", "hjres", "sjres"."""
    number: int
    title: str
    """The official title as introduced."""
    day: date
    sponsor: str
    """Bioguide id; "" where unknown."""
    party: str
    cosponsors: tuple[int, int, int]
    """Original cosponsors: Democrats, Republicans, others."""
    committees: tuple[str, ...]
    """By chamber and name: "House Budget Committee"."""


def begins(congress: int) -> date:
    """Give the 3 January on which a Congress begins."""
    return date(1789 + 2 * (congress - 1), 1, 3)


def share_left(congress: int, day: date) -> float:
    """Give the share of a Congress that is left on a day, in [1/731, 1]; it never grows."""
    left = (begins(congress + 1) - day).days
    return min(max(left, 1), 731) / 731.0


def terms(title: str) -> list[str]:
    """Give a title's words and pairs of words; years and numbers count as such."""
    text = title.lower().replace(", and for other purposes", "")
    text = re.sub(r"[\u2019']s\b", "", text)
    text = re.sub(r"\b(19|20)\d\d\b", "yyyy", text)
    words = _TOKEN.findall(re.sub(r"\d+", "nn", text))
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def committee_name(name: str) -> str:
    """Give "house ways and means" for every way in which the committee is written."""
    words = _NAME.findall(name.lower())
    return " ".join(word for word in words if word not in {"committee", "on", "the"})


def structure(bill: Introduced) -> dict[str, float]:
    """Give the features beside the title and the sponsor's record, by name.

    The majorities of the 113th to 119th Congress are facts; elsewhere a sponsor counts as half in
    the majority.
    """
    house = bill.kind.startswith("h")
    holds = (_HOUSE if house else _SENATE).get(bill.congress)
    majority = 0.5 if holds is None or not bill.party else float(bill.party == holds)
    democrats, republicans, others = bill.cosponsors
    own, across = (republicans, democrats) if bill.party == "R" else (democrats, republicans)
    count = democrats + republicans + others
    at = 1.0 - share_left(bill.congress, bill.day)
    words = len(bill.title.split())
    features = {
        "majority": majority,
        "unified": float(_HOUSE.get(bill.congress) == _SENATE.get(bill.congress)),
        "own": math.log1p(own),
        "across": math.log1p(across),
        "bipartisan": float(across > 0),
        "share across": across / (count + 1),
        "alone": float(count == 0),
        "majority and bipartisan": majority * (across > 0),
        "time": at,
        "time squared": at * at,
        "late": float(at > 0.75),
        "very late": float(at > 0.9),
        "early": float(at < 0.02),
        "committees": float(min(len(bill.committees), 5)),
        "no committee": float(not bill.committees),
        "one committee": float(len(bill.committees) == 1),
        "length": math.log1p(words),
        "short": float(words < 10),
        "number": math.log(max(bill.number, 1)) / 5.0,
        "low number": float(bill.number <= 25),
        f"type {bill.kind}": 1.0,
        f"type {bill.kind}, majority": majority,
    }
    names = {committee_name(name) for name in bill.committees}
    features |= {f"committee {name}": 1.0 for name in names}
    if len(names) == 1:
        (name,) = names
        features |= {f"only {name}": 1.0, f"only {name}, majority": majority}
    return features


def record(bills: float, laws: float, rate: float) -> float:
    """Give a sponsor's record: log of the shrunken share of earlier bills that became law."""
    return math.log((laws + rate * PRIOR_BILLS) / (bills + PRIOR_BILLS) / rate)


class Passage:
    """One set of coefficients."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the arrays that :mod:`relentless.models.passage_fit` names."""
        self._terms = _indexed(arrays["terms"])
        self._idf = arrays["idf"].astype(np.float64)
        self._weights = arrays["term_weights"].astype(np.float64)
        names = arrays["names"].tobytes().decode().split("\n")
        self._features = dict(
            zip(names, arrays["name_weights"].astype(np.float64).tolist(), strict=True)
        )
        sponsors = arrays["sponsors"].tobytes().decode().split("\n")
        self._records = dict(zip(sponsors, arrays["records"].tolist(), strict=True))
        self._intercept, self._rate, self._record_weight, self._slope, self._shift = (
            float(value) for value in arrays["constants"]
        )
        self._stages = arrays["stages"].astype(np.float64)

    @classmethod
    def load(cls, name: str, path: Path = FILE) -> Self:
        """Read one set of a file."""
        with np.load(path, allow_pickle=False) as file:
            start = f"{name}/"
            return cls({k.removeprefix(start): file[k] for k in file.files if k.startswith(start)})

    def raw(self, bill: Introduced) -> float:
        """Give the regression's chance, before calibration."""
        return _logistic(self._logit(bill))

    def at_introduction(self, bill: Introduced) -> float:
        """Give the calibrated chance in (0, 1) that a bill becomes law, as introduced."""
        return round(_logistic(self._slope * self._logit(bill) + self._shift), DECIMALS)

    def given_stage(self, chance: float, stage: str, left: float) -> float:
        """Give the chance once a bill has come as far as ``stage`` with ``left`` of its Congress.

        Each stage has its own regression on the log odds at introduction and the log of the share
        that is left; a bill is never given less than at an earlier stage, nor more for less time.

        Args:
            chance: at introduction.
            stage: one of ``STAGES``.
            left: as :func:`share_left` gives it.
        """
        logit = _logit_of(chance)
        reached = self._stages[: STAGES.index(stage) + 1]
        best = max(a + b * logit + c * math.log(left) for a, b, c in reached.tolist())
        return round(_logistic(best), DECIMALS)

    def _logit(self, bill: Introduced) -> float:
        counts = Counter(term for term in terms(bill.title) if term in self._terms)
        total = self._intercept
        if counts:
            at = [self._terms[term] for term in counts]
            values = (1.0 + np.log(np.array(list(counts.values()), float))) * self._idf[at]
            total += float(values @ self._weights[at]) / math.sqrt(float(values @ values))
        for name, value in structure(bill).items():
            total += value * self._features.get(name, 0.0)
        bills, laws = self._records.get(bill.sponsor, (0.0, 0.0))
        return total + self._record_weight * record(bills, laws, self._rate)


@lru_cache(maxsize=8)
def passage_of(congress: int) -> Passage:
    """Give the coefficients for a Congress's bills: never those that saw its own outcomes."""
    with np.load(FILE, allow_pickle=False) as file:
        held_out = f"{congress}/terms" in file.files
    return Passage.load(str(congress) if held_out else ALL)


def read_rows(rows: Iterator[Mapping[str, str]]) -> Iterator[tuple[Introduced, Mapping[str, str]]]:
    """Give the introduced, law-capable bills of a recorded Congress, each with its row.

    Of a row only the columns of the first text are read; the others are for whoever counts laws.
    """
    for row in rows:
        if row["first_version"].startswith("Introduced") and row["type"] in {
            *("hr", "s", "hjres", "sjres"),
        }:
            parties = [int(row[f"cosp_{party}_first"] or 0) for party in "DR"]
            others = max(int(row["cosponsors_first"] or 0) - sum(parties), 0)
            bill = Introduced(
                congress=int(row["congress"]),
                kind=row["type"],
                number=int(row["number"]),
                title=" ".join(row["official_title_first_version"].split()),
                day=date.fromisoformat(row["first_date"]),
                sponsor=row["sponsor_bioguide"],
                party=row["sponsor_party"],
                cosponsors=(parties[0], parties[1], others),
                committees=tuple(name for name in row["committees_first"].split("|") if name),
            )
            yield bill, row


def _indexed(packed: NDArray[Any]) -> dict[str, int]:
    return {term: n for n, term in enumerate(packed.tobytes().decode().split("\n"))}


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(value, -30.0), 30.0)))


def _logit_of(chance: float) -> float:
    chance = min(max(chance, 1e-6), 1.0 - 1e-6)
    return math.log(chance / (1.0 - chance))
