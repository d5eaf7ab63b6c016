"""What a text says by rule: figures, movements, companies, people, topics, clauses."""

import csv
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.agents.news.engines.clauses import about, clauses
from relentless.agents.news.engines.companies import (
    TABLE,
    mentions,
    named_in,
    subjects,
    table,
    tickers,
)
from relentless.agents.news.engines.figures import comparisons
from relentless.agents.news.engines.people import people
from relentless.agents.news.engines.polarity import FEATURES, signals
from relentless.agents.news.engines.topics import TOPICS, on_market, topics
from relentless.agents.news.engines.words import inflect, lexicon, plain
from relentless.configs.tick_path import PredictorSettings

GICS = {
    "Information Technology", "Communication Services", "Consumer Discretionary", "Industrials",
    "Consumer Staples", "Health Care", "Financials", "Energy", "Materials", "Utilities",
    "Real Estate",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("operating profit fell to eur 12.4 mn from eur 20.1 mn a year ago", -1),
        ("net sales were 41.2 mn, up from 38.9 mn in 2007", 1),
        ("net loss was $3 million compared with $5 million", 1),
        ("costs came to 9.1 mn against 7.0 mn", -1),
        ("the loss was 4 mn compared with a profit of 2 mn", -1),
        ("a profit of 2 mn, compared with a loss of 4.5 mn", 1),
        ("net sales eur 12.3 million (10.1)", 1),
        ("compared with 8 mn a year earlier, revenue was 7.5 mn", -1),
        ("revenue of $900 million versus $1.2 billion", -1),
        ("loan losses rose from 3 mn to 5 mn", -1),
    ],
)
def test_two_figures_are_compared_and_their_noun_says_whether_more_is_good(text, sign):
    assert [comparison.sign for comparison in comparisons(text)] == [sign]


def test_years_and_unlike_units_are_no_comparison():
    assert comparisons("between 2007 and 2009 the firm grew from 2006 to 2008") == []
    assert comparisons("revenue of 12 percent compared with $3 million") == []


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("Costs fell", 1),
        ("Profit fell", -1),
        ("Baker cuts dividend", -1),
        ("Baker cuts debt", 1),
        ("Loss narrowed in the quarter", 1),
        ("Loss widened in the quarter", -1),
        ("A drop in complaints", 1),
        ("A drop in orders", -1),
        ("Regulator drops probe into baker", 1),
        ("Baker halts buyback", -1),
        ("Profit after tax went up", 1),
        ("Shares close lower", -1),
        ("Retailer will not meet forecast, warns of weak demand", -1),
    ],
)
def test_a_movement_counts_by_its_object(text, sign):
    net = signals(text).net()

    assert (net > 0) - (net < 0) == sign


def test_a_neutral_sentence_has_no_sign():
    for text in (
        "The company is based in Oulu and makes gearboxes.",
        "The annual general meeting will be held on 4 April.",
    ):
        assert abs(signals(text).net()) <= 0.5


@given(st.text(max_size=300))
def test_any_text_gives_finite_features(text):
    vector = signals(text).vector()

    assert len(vector) == FEATURES
    assert all(abs(value) < 100 for value in vector)


def test_verbs_are_inflected_by_rule_and_the_lexicon_has_them():
    assert inflect("drop") == ["drop", "drops", "dropped", "dropping"]
    assert inflect("rally") == ["rally", "rallies", "rallied", "rallying"]
    assert inflect("slash") == ["slash", "slashes", "slashed", "slashing"]
    assert inflect("rise/rose") == ["rise", "rose"]
    assert lexicon().verbs["rallied"] == 1
    assert lexicon().verbs["slipped"] == -1


def test_the_table_has_the_default_symbols_and_only_sectors_of_gics():
    with TABLE.open(encoding="utf-8", newline="") as rows:
        listed = list(csv.DictReader(rows))

    assert len(listed) >= 150
    assert len({row["ticker"] for row in listed}) == len(listed)
    assert set(PredictorSettings().symbols) <= set(table().companies)
    assert {row["sector"] for row in listed} - {""} == GICS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$TSLA to the moon, $GM not so much", ["TSLA", "GM"]),
        ("IBM (NYSE: IBM) opens a lab", ["IBM"]),
        ("Tiny Corp (NASDAQ:TINY) soars", ["TINY"]),
        ("It cost $AB12 and $5", []),
        ("Apple falls as Samsung gains", ["AAPL"]),
        ("Farmers expect record Apple harvest", []),
        ("Baked Apple Pie Is Back", []),
        ("Target raises full-year profit outlook", ["TGT"]),
        ("Price Target Changed to $30.00/Share", []),
        ("Hedge funds miss their Target", []),
        ("Gap shares jump after earnings", ["GPS"]),
        ("Gap widens between rich and poor", []),
        ("Visa and Mastercard settle lawsuit", ["V", "MA"]),
        ("Visa applications surge at consulates", []),
        ("H-1B Visa Fee Rises", []),
        ("Ford recalls 500,000 pickup trucks", ["F"]),
        ("Harrison Ford returns", []),
        ("Meta cuts jobs at Instagram", ["META"]),
        ("Meta-analysis finds no benefit", []),
        ("Caterpillar sales sink on mining slump", ["CAT"]),
        ("The very hungry caterpillar turns 50", []),
        ("McDonald\u2019s C.E.O. Takes a Bite", ["MCD"]),
        ("AT&T and T-Mobile in talks", ["T", "TMUS"]),
        ("Delta variant spreads", []),
        ("Amazon rainforest fires spread", []),
        ("Shares in Amazon rise", ["AMZN"]),
    ],
)
def test_companies_are_found_and_words_are_not(text, expected):
    assert tickers(mentions(text)) == expected


def test_a_bank_that_only_judges_others_is_no_subject():
    for text, expected in [
        ("Goldman Sachs upgrades Delta to buy", ["DAL"]),
        ("Boeing cut to sell at UBS", ["BA"]),
        ("Goldman Sachs profit beats estimates", ["GS"]),
        ("JPMorgan cuts its outlook", ["JPM"]),
        ("JPMorgan sees crude supply cuts", []),
    ]:
        assert tickers(subjects(text, mentions(text))) == expected


def test_a_name_counts_as_named_even_where_the_rules_would_not_take_it():
    assert named_in("Fresh Apple news", "AAPL")
    assert not named_in("Fresh pear news", "AAPL")


@given(st.text(max_size=200))
def test_names_in_any_text_lie_within_it(text):
    for mention in mentions(text):
        assert 0 <= mention.start < mention.end <= len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fed Chair Powell signals patience", ["Powell"]),
        ("CEO Jane Doe steps down", ["Jane Doe"]),
        ("Jane Doe, chief executive of Acme, sells shares", ["Jane Doe"]),
        ("Acme names Maria de Silva as finance chief", ["Maria de Silva"]),
        ("Acme CEO Says Sales Rose", []),
        ("Wall Street Ends Higher", []),
        ("Mark Zuckerberg once predicted this", []),
        ("Treasury Secretary Yellen\u2019s plan", ["Yellen"]),
    ],
)
def test_people_are_named_by_their_office_only(text, expected):
    assert people(text) == expected


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Second-quarter revenue rises", "earnings"),
        ("Baker raises full-year guidance", "guidance"),
        ("Baker to acquire miller", "m&a"),
        ("Broker upgrades baker", "analyst"),
        ("Baker sued over labels", "legal"),
        ("FTC opens probe", "regulation"),
        ("Baker unveils new loaf", "product"),
        ("Baker's CEO resigns", "management"),
        ("GDP grew in the spring", "macro"),
        ("Fed holds interest rates", "rates"),
        ("CPI rose 0.2%", "inflation"),
        ("Payrolls grew by 148,000", "employment"),
        ("Crude falls", "energy"),
        ("Moody's cuts bonds to junk", "credit"),
        ("Baker declares dividend", "dividend"),
        ("Baker to cut 300 jobs", "layoffs"),
        ("Stocks rally", "market"),
    ],
)
def test_every_topic_is_found(text, topic):
    assert topic in topics(text)
    assert set(topics(text)) <= set(TOPICS)


def test_a_story_on_the_american_market_is_told_from_one_on_another():
    for text in ("Wall Street ends lower", "Fed raises rates", "U.S. payrolls fell"):
        assert on_market(text)
    for text in ("India inflation quickens", "ECB raises interest rates", "Baker opens shop"):
        assert not on_market(text)


def test_a_clause_speaks_of_its_own_target():
    text = "Pfizer jumps, Moderna slides after vaccine data"
    first, second = (0, 6), (14, 21)

    assert about(text, first, [second]) == "Pfizer jumps"
    assert about(text, second, [first]).startswith("Moderna slides")
    assert about(text, first, []) == text


def test_and_splits_two_targets_only_where_each_has_something_said():
    text = "Pfizer falls and Moderna gains"
    assert about(text, (0, 6), [(17, 24)]) == "Pfizer falls"
    text = "Pfizer and Moderna gain"
    assert about(text, (0, 6), [(11, 18)]) == text


@given(st.text(max_size=200))
def test_clauses_lie_within_the_text_and_in_order(text):
    spans = clauses(text)

    assert all(start <= end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_plain_text_keeps_every_place():
    assert plain("\u201cIt\u2019s\u201d \u2013 ok") == '"It\'s" - ok'
