"""Categories by whole words, sectors by tables, stages by the words of actions, what is read."""

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.agents.congress.agent import congress_of
from relentless.agents.congress.categories import WORDS, categories_of, sectors_of
from relentless.agents.congress.reading import (
    is_official,
    items_of,
    official_of,
    read_facts,
    read_listed,
)
from relentless.agents.congress.stages import Action, known_at, stage_of
from relentless.proto.errors import SourceMalformed

from .conftest import eastern

DAY = date(2013, 9, 30)


@pytest.mark.parametrize(
    ("title", "categories"),
    [
        ("Making continuing appropriations for fiscal year 2014.", ("finance",)),
        ("To amend the Internal Revenue Code of 1986.", ("tax",)),
        ("To end insecurities about syntax and pertaxation.", ()),
        ("To raise the DEBT   CEILING, and to regulate oil imports.", None),
        ("", ()),
    ],
)
def test_categories_are_found_by_whole_words(title, categories):
    expected = categories or ()
    if categories is None:
        expected = ("finance", "regulation", "energy_climate", "trade")
    assert categories_of(title) == expected


@given(st.text(max_size=200))
def test_any_title_has_categories(title):
    assert set(categories_of(title)) <= set(WORDS)


def test_sectors_come_from_categories_and_committees():
    assert sectors_of(("healthcare",), ()) == ("Health Care",)
    assert sectors_of((), ("House Agriculture Committee", "House Ethics Committee")) == (
        "Consumer Staples",
    )
    assert sectors_of(("finance",), ("Senate Banking, Housing, and Urban Affairs Committee",)) == (
        *("Financials", "Real Estate"),
    )


@pytest.mark.parametrize(
    ("kind", "texts", "stage"),
    [
        ("hr", ["Introduced in House"], "introduced"),
        ("hr", ["Referred to the House Committee on the Budget."], "introduced"),
        ("hr", ["Ordered to be Reported by the Yeas and Nays: 29 - 23."], "introduced"),
        ("hr", ["Reported by the Committee on Ways and Means. H. Rept. 113-12."], "reported"),
        ("s", ["Committee on Finance. Reported by Senator Baucus."], "reported"),
        ("s", ["Placed on Senate Legislative Calendar under General Orders."], "reported"),
        ("hr", ["Placed on Senate Legislative Calendar under General Orders."], "passed_house"),
        ("hr", ["Placed on the Union Calendar, Calendar No. 7."], "reported"),
        ("s", ["Placed on the Union Calendar, Calendar No. 7."], "passed_senate"),
        ("hr", ["On passage Passed by the Yeas and Nays: 230 - 189."], "passed_house"),
        ("hr", ["Rule H. Res. 354 passed House."], "introduced"),
        ("hr", ["Passed/agreed to in House: On passage Passed by voice vote."], "passed_house"),
        ("hr", ["Received in the Senate and Read twice."], "passed_house"),
        ("s", ["Passed Senate without amendment by Unanimous Consent."], "passed_senate"),
        ("s", ["Held at the desk."], "passed_senate"),
        ("hr", ["Passed Senate with an amendment by Yea-Nay Vote."], "passed_both"),
        ("hjres", ["Resolving differences -- House actions: House amendment."], "passed_both"),
        ("hr", ["Message on Senate action sent to the House."], "passed_both"),
        ("hr", ["Presented to President."], "presented"),
        ("hr", ["Became Public Law No: 113-46."], "law"),
        ("hr", ["Presented to President.", "Vetoed by President."], "vetoed"),
        ("hr", ["Vetoed by President.", "Became Public Law No: 113-46."], "law"),
        ("hr", ["Failed of passage/not agreed to in House."], "failed"),
        ("hr", ["Failed of passage in House.", "Passed House."], "passed_house"),
        ("hr", ["Amendment SA 12 not agreed to in Senate by Voice Vote."], "introduced"),
        ("hr", ["Passed House.", "Sponsor introductory remarks on measure."], "passed_house"),
    ],
)
def test_a_stage_is_the_furthest_that_the_actions_say(kind, texts, stage):
    assert stage_of(kind, [Action(DAY, text) for text in texts]) == stage


def test_the_code_speaks_where_the_words_say_nothing():
    assert stage_of("hr", [Action(DAY, "So it was done.", "8000")]) == "passed_house"


def test_an_action_is_known_at_the_end_of_its_day_in_new_york():
    assert known_at(date(2013, 10, 6)) == datetime(2013, 10, 7, 4, tzinfo=UTC)
    assert known_at(date(2013, 12, 6)) == datetime(2013, 12, 7, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "congress"),
    [
        *(("2013-10-07 05:10", 113), ("2013-01-03 11:59", 112), ("2013-01-03 12:00", 113)),
        *(("2014-12-31 05:10", 113), ("2015-01-02 05:10", 113), ("2015-01-03 12:30", 114)),
        ("2026-11-22 05:10", 119),
    ],
)
def test_the_congress_follows_from_the_date(moment, congress):
    assert congress_of(eastern(moment)) == congress


GOOD = {
    "congress": 113,
    "type": "HJRES",
    "number": "59",
    "title": "Making  appropriations.",
    "latestAction": {"actionDate": "2013-09-30", "text": "Passed House."},
    "updateDate": "2013-10-01",
}


def test_a_list_item_is_read():
    listed = read_listed(GOOD, 113)
    assert (listed.bill_id, listed.kind, listed.path) == (
        *("113-hjres-59", "hjres", "/v3/bill/113/hjres/59"),
    )
    assert listed.title == "Making appropriations."


@pytest.mark.parametrize("left_out", [{"type": "HRES"}, {"latestAction": None}])
def test_what_cannot_become_law_or_has_no_action_is_left_out(left_out):
    assert read_listed(GOOD | left_out, 113) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *({"number": None}, {"number": "x"}, {"type": 7}, {"title": ["x"]}, {"congress": 114}),
        *({"updateDate": None}, {"latestAction": "x"}, {"latestAction": {"text": "x"}}),
        {"latestAction": {"actionDate": "not", "text": "x"}},
        {"latestAction": {"actionDate": "2013-09-30", "text": 5}},
    ],
)
def test_an_item_that_breaks_the_contract_is_malformed(wrong):
    with pytest.raises(SourceMalformed):
        read_listed(GOOD | wrong, 113)


@pytest.mark.parametrize(
    "page", [[], {}, {"bills": {}}, {"bills": []}, {"bills": [], "pagination": {"count": "3"}}]
)
def test_a_page_without_its_list_or_its_count_is_malformed(page):
    with pytest.raises(SourceMalformed):
        items_of(page, "bills")


def test_a_new_bill_may_lack_sponsors_committees_and_its_introduction():
    facts = read_facts({"bill": {"sponsors": []}}, [], [])
    assert (facts.party, facts.committees, facts.introduced) == (None, (), None)


@pytest.mark.parametrize(
    ("detail", "actions", "committees"),
    [
        ({}, [], []),
        ({"bill": {"introducedDate": "soon"}}, [], []),
        ({"bill": {}}, [{"text": "x"}], []),
        ({"bill": {}}, [], [{}]),
    ],
)
def test_facts_that_break_the_contract_are_malformed(detail, actions, committees):
    with pytest.raises(SourceMalformed):
        read_facts(detail, actions, committees)


def test_recorded_cosponsors_are_read_with_their_days(recordings):
    path = recordings / "congress" / "loc_bill_117_hr_21_cosponsors.json"
    items, count = items_of(json.loads(path.read_bytes()), "cosponsors")
    detail = {"bill": {"introducedDate": "2021-01-04", "sponsors": [{"party": "D"}]}}
    facts = read_facts(detail, [], [], items, "To require a warrant.")
    assert count == len(facts.cosponsors) == 2
    assert facts.cosponsors_by(eastern("2021-01-04 12:00")) == 0
    assert facts.cosponsors_by(eastern("2021-01-05 00:00")) == 2
    assert facts.at_introduction("117-hr-21").cosponsors == (0, 2, 0)


@pytest.mark.parametrize(
    "item", [None, {}, {"party": 3, "isOriginalCosponsor": True}, {"isOriginalCosponsor": "yes"}]
)
def test_cosponsors_that_break_the_contract_are_malformed(item):
    with pytest.raises(SourceMalformed):
        read_facts({"bill": {}}, [], [], [item])


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
)


@given(st.dictionaries(st.sampled_from(["title", "titleType"]), _json), _json)
def test_titles_of_any_shape_give_text(item, other):
    assert isinstance(official_of([other, item]), str)


def test_the_official_title_is_the_one_as_introduced():
    titles = [
        {"title": "Short Act", "titleType": "Display Title"},
        {"title": "An Act to fund.", "titleType": "Official Title as Enacted"},
        {"title": "To  fund.", "titleType": "Official Title as Introduced"},
    ]
    assert official_of(titles) == "To fund."
    assert official_of(titles[:2]) == ""


@pytest.mark.parametrize(
    ("title", "official"),
    [
        ("To amend title 5, United States Code.", True),
        ("A bill to amend the Clean Air Act of 1970", True),
        ("Making continuing appropriations.", True),
        ("Federal Reserve Transparency Act of 2013", False),
        ("Tax Relief Act", False),
        ("Banking Act of 2013", False),
        ("Saving Our Energy Future Act", False),
    ],
)
def test_a_short_title_is_told_from_an_official_one(title, official):
    assert is_official(title) == official
