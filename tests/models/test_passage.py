"""The chance of passage: what it reads, how it moves, and whether the figures are its own."""

import gzip
import json
import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.models.impact import market_impact
from relentless.models.legislation import (
    CATEGORY_WEIGHT,
    read_bill,
    risk_score,
    rule_change_probability,
)
from relentless.models.passage import (
    ALL,
    FILE,
    STAGES,
    Introduced,
    Passage,
    committee_name,
    passage_of,
    read_rows,
    share_left,
)
from relentless.models.passage_history import stages_of
from relentless.models.passage_score import score_files, scores_of

FIGURES = Path(__file__).parents[2] / "docs" / "figures" / "passage.json"
COLUMNS = (
    *("congress", "type", "number", "first_version", "first_date", "sponsor_bioguide"),
    *("official_title_first_version", "sponsor_party", "cosponsors_first", "cosp_D_first"),
    *("cosp_R_first", "committees_first"),
)
POST_OFFICE = Introduced(
    113,
    "hr",
    1_451,
    "To designate the facility of the United States Postal Service located at 14 Main Street in "
    'Brockport, New York, as the "Staff Sergeant Nicholas J. Reid Post Office Building".',
    date(2013, 4, 9),
    "",
    "R",
    (4, 12, 0),
    ("House Oversight and Government Reform Committee",),
)
chances = st.floats(0.0001, 0.9999)
shares = st.floats(1 / 731, 1.0)


class FirstTextOnly(dict):
    """A row that refuses every column that is known only later."""

    def __missing__(self, column):
        raise AssertionError(f"{column} is read")


def rows_of(recordings, congress, count):
    import csv

    path = recordings / "congress" / f"bills_{congress}.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [row for row, _ in zip(csv.DictReader(file), range(count), strict=False)]


def test_columns_that_are_known_later_are_never_read(recordings):
    rows = rows_of(recordings, 113, 2_000)
    bare = [FirstTextOnly({name: row[name] for name in COLUMNS}) for row in rows]
    poisoned = [{k: v if k in COLUMNS else "Became law" for k, v in row.items()} for row in rows]
    clean = [bill for bill, _ in read_rows(iter(rows))]
    assert len(clean) > 1_000
    assert [bill for bill, _ in read_rows(iter(bare))] == clean
    assert [bill for bill, _ in read_rows(iter(poisoned))] == clean


def test_a_bill_is_scored_by_coefficients_that_never_saw_its_congress():
    held_out = Passage.load("113").at_introduction(POST_OFFICE)
    assert passage_of(113).at_introduction(POST_OFFICE) == held_out
    assert held_out != Passage.load(ALL).at_introduction(POST_OFFICE)


def test_naming_a_post_office_is_likelier_than_amending_the_tax_code():
    tax = Introduced(
        *(113, "hr", 1_451, "To amend the Internal Revenue Code of 1986 to impose a surtax."),
        *(date(2013, 4, 9), "", "R", (4, 12, 0), ("House Ways and Means Committee",)),
    )
    model = passage_of(113)
    assert model.at_introduction(POST_OFFICE) > 0.1 > 0.02 > model.at_introduction(tax)


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(1, 200), st.integers(1, 9_999), st.text(max_size=5))
def test_any_bill_of_any_congress_has_a_chance(title, congress, number, party):
    day = date(1789 + 2 * (congress - 1), 6, 1)
    bill = Introduced(congress, "s", number, title, day, "X", party, (0, 1, 2), ())
    assert 0.0 < passage_of(congress).at_introduction(bill) < 1.0


@pytest.mark.parametrize("name", [ALL, "113", "114", "115", "116"])
@given(chances, chances, shares, shares, st.sampled_from(STAGES))
def test_the_chance_rises_with_the_stage_the_start_and_the_time_left(name, a, b, left, right, at):
    model = model_of(name)
    given_more = model.given_stage(max(a, b), at, max(left, right))
    assert given_more >= model.given_stage(min(a, b), at, max(left, right))
    assert given_more >= model.given_stage(max(a, b), at, min(left, right))
    before = STAGES[max(STAGES.index(at) - 1, 0)]
    assert given_more >= model.given_stage(max(a, b), before, max(left, right))


_MODELS = {}


def model_of(name):
    if name not in _MODELS:
        _MODELS[name] = Passage.load(name)
    return _MODELS[name]


def test_the_share_left_falls_to_its_end_and_no_further():
    days = [date(2013, 1, 3) + timedelta(days=n) for n in range(0, 800, 40)]
    shares_left = [share_left(113, day) for day in days]
    assert shares_left == sorted(shares_left, reverse=True)
    assert (shares_left[0], shares_left[-1]) == (730 / 731, 1 / 731)


def test_committees_are_known_under_every_way_to_write_them():
    wanted = "house ways and means"
    for name in (
        "House — Ways and Means Committee",
        "House Ways and Means Committee",
        "House Committee on Ways and Means",
    ):
        assert committee_name(name) == wanted


def test_snapshots_tell_the_stage_reached_before_each_first_of_a_month():
    row = {
        "versions": "Introduced in House (ih)@2013-04-09|Reported in House (rh)@2013-06-01",
        **dict.fromkeys(("signed_date", "became_law_date", "vetoed_date"), ""),
        **dict.fromkeys(("passed_senate_date", "presented_date"), ""),
    }
    row |= {"passed_house_date": "2013-07-15", "signed_date": "2013-08-20"}
    assert [stage for stage, _ in stages_of(POST_OFFICE, row)] == [
        *("introduced", "introduced", "reported", "passed_house"),
    ]


def test_scores_equal_those_counted_by_hand():
    law, chance = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.8, 0.2, 0.2])
    scores = scores_of(law, chance)
    assert scores.auc == 0.875  # three and a half of four pairs
    assert scores.average_precision == round((1 + 2 / 3) / 2, 4)
    assert scores.brier == round((0.01 + 0.04 + 0.04 + 0.64) / 4, 5)
    loss = -(math.log(0.9) + math.log(0.8) + math.log(0.8) + math.log(0.2)) / 4
    assert scores.log_loss == round(loss, 5)
    with pytest.raises(ValueError, match="became law"):
        scores_of(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("congress", ["113", "116"])
def test_the_committed_file_scores_on_a_held_out_congress_what_the_figures_state(
    recordings, congress
):
    path = recordings / "congress" / f"bills_{congress}.csv.gz"
    stated = json.loads(FIGURES.read_text())["folds"][congress]
    scores = score_files([path]).as_dict()
    assert scores["rows"] == stated["rows"]
    for name in ("auc", "average_precision", "log_loss", "brier", "log_loss_gain"):
        assert scores[name] == pytest.approx(stated[name], abs=2e-4), name


def test_the_folds_reach_what_is_asked_of_them():
    figures = json.loads(FIGURES.read_text())
    folds = figures["folds"].values()
    mean = {name: np.mean([fold[name] for fold in folds]) for name in ("auc", "average_precision")}
    assert mean["auc"] >= 0.87 and mean["average_precision"] >= 0.30
    assert figures["pooled"]["log_loss_gain"] >= 0.25
    assert all(said["model"] < said["stage_rate"] for said in figures["stages"].values())
    for one in figures["pooled"]["reliability"]:
        spread = math.sqrt(one["mean"] * (1 - one["mean"]) / one["count"])
        assert abs(one["mean"] - one["observed"]) <= 3.5 * spread


def test_the_shipped_file_is_small():
    assert FILE.stat().st_size < 2**20


def test_numpy_gives_the_probabilities_of_scikit_learn(recordings):
    pytest.importorskip("sklearn", reason="the train extra is not installed")
    from relentless.models import passage_fit

    rows = passage_fit.Rows()
    for row in rows_of(recordings, 114, 3_000):
        for bill, whole in read_rows(iter([row])):
            rows.bills.append(bill)
            rows.laws.append(passage_fit.became_law(whole))
            rows.snapshots.append([])
    arrays, wanted = passage_fit.regression_and_chances(rows)
    # A bill's own Congress is in the shipped record; the fit left it out.
    arrays["sponsors"], arrays["records"] = np.frombuffer(b"-", np.uint8), np.zeros((1, 2))
    model = Passage(arrays)
    found = [model.raw(bill) for bill in rows.bills]
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 1e-6


@given(chances, chances, st.text(max_size=80), st.sampled_from(sorted(CATEGORY_WEIGHT)))
def test_the_impact_grows_with_the_likelihood_and_keeps_its_sign(a, b, title, category):
    low, _ = market_impact(title + " repeal", (category,), min(a, b))
    high, parts = market_impact(title + " repeal", (category,), max(a, b))
    assert -1 <= high <= 1 and low * high >= 0 and abs(high) >= abs(low)
    assert high == pytest.approx(
        parts["direction"] * parts["category_weight"] * parts["likelihood"], abs=1e-8
    )


def test_the_impact_has_the_sign_of_its_words():
    assert market_impact("To repeal the tax", ("tax",), 0.5)[0] == 0.4
    assert market_impact("To prohibit and sanction", ("finance",), 0.5)[0] == -0.5
    assert market_impact("To study", ("finance",), 0.5)[0] == 0.0


def bill_of(number, title, likelihood):
    return read_bill(
        {
            "bill_id": f"113-hr-{number}",
            "title": title,
            "stage": "introduced",
            "latest_action_date": "2013-10-01",
            "categories": ["regulation"],
            "likelihood_pass": likelihood,
        },
        date(2013, 10, 7),
    )


@given(st.lists(chances, min_size=1, max_size=20), chances)
def test_scores_rise_with_the_likelihood(others, raised):
    bills = [bill_of(n, f"title {n}", chance) for n, chance in enumerate(others, 2)]
    low = [*bills, bill_of(1, "one", min(others[0], raised))]
    high = [*bills, bill_of(1, "one", max(others[0], raised))]
    assert risk_score(high) >= risk_score(low)
    assert rule_change_probability(high) >= rule_change_probability(low)


def test_companions_of_one_title_change_rules_once():
    one = [bill_of(1, "To regulate.", 0.5)]
    assert rule_change_probability([*one, bill_of(2, "To regulate.", 0.4)]) == (
        rule_change_probability(one)
    )
    assert rule_change_probability([*one, bill_of(2, "To deregulate.", 0.4)]) > (
        rule_change_probability(one)
    )
