"""Forms 3, 4 and 5 as recorded, with values read by hand; odd shapes; hostile bytes."""

from datetime import date
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.insider.footnotes import PriceRange, is_plan, is_withholding, price_range
from relentless.agents.insider.form4 import FORMS, parse_form4
from relentless.agents.insider.symbols import symbol_of
from relentless.proto.errors import SourceMalformed

WHOLE = {
    # file: schema, form, symbol, box, transactions, holdings
    "SYNTHETIC_form4A.xml": ("", "4/A", "SGNL", None, 3, 0),
    "form3_SNOW_holdings_only.xml": ("X0206", "3", "SNOW", None, 0, 6),
    "form4_AREC_tz_suffix_dates.xml": ("X0508", "4", "AREC", False, 1, 0),
    "form4_DKNG_multi_S_10b5-1.xml": ("X0508", "4", "DKNG", True, 3, 0),
    "form4_JBLU_derivative_only.xml": ("X0508", "4", "JBLU", False, 1, 0),
    "form4_SNOW_2022.xml": ("X0306", "4", "SNOW", None, 7, 8),
    "form4_ZIP_RSU_with_disposal.xml": ("X0508", "4", "ZIP", False, 9, 0),
    "form5_SNOW.xml": ("X0306", "5", "SNOW", None, 1, 2),
    "full_submission_form4_AIR_0001127602-25-001055.txt": ("X0508", "4", "AIR", False, 1, 0),
}


@pytest.fixture
def recorded(recordings):
    def read(name):
        return parse_form4((recordings / "insider" / name).read_bytes())

    return read


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_every_recorded_form_is_read_whole(recorded, name):
    said = recorded(name)
    schema, form, symbol, box, transactions, holdings = WHOLE[name]
    assert (said.schema, said.form, said.symbol, said.plan_box) == (schema, form, symbol, box)
    assert (len(said.transactions), len(said.holdings)) == (transactions, holdings)
    assert said.damaged == 0


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_the_dollars_by_code_are_those_that_another_parser_adds_up(recordings, recorded, name):
    text = (recordings / "insider" / name).read_text()
    start, end = text.index("<ownershipDocument"), text.index("</ownershipDocument>")
    root = Xml.fromstring(text[start : end + len("</ownershipDocument>")])
    theirs = {}
    for kind in ("nonDerivativeTransaction", "derivativeTransaction"):
        for row in root.iter(kind):
            amounts = row.find("transactionAmounts")
            price = float(amounts.findtext("transactionPricePerShare/value") or 0)
            shares = float(amounts.findtext("transactionShares/value"))
            key = (kind, row.findtext("transactionCoding/transactionCode"))
            count, total, dollars = theirs.get(key, (0, 0.0, 0.0))
            theirs[key] = (count + 1, total + shares, dollars + shares * price)
    ours = {}
    for t in recorded(name).transactions:
        key = ("derivativeTransaction" if t.derivative else "nonDerivativeTransaction", t.code)
        count, total, dollars = ours.get(key, (0, 0.0, 0.0))
        ours[key] = (count + 1, total + t.shares, dollars + t.shares * (t.price or 0))
    assert ours.keys() == theirs.keys()
    for key, values in theirs.items():
        assert ours[key] == pytest.approx(values)


def test_a_plan_sale_in_three_lots(recorded):
    said = recorded("form4_DKNG_multi_S_10b5-1.xml")
    assert (said.issuer_cik, said.issuer_name) == (1883685, "DraftKings Inc.")
    (owner,) = said.owners
    assert (owner.cik, owner.name) == (1404430, "Dodge R Stanton")
    assert (owner.officer, owner.director, owner.ten_percent) == (True, False, False)
    assert owner.title == "Chief Legal Officer"
    assert said.period == date(2025, 3, 14)
    lots = [(t.day, t.shares, t.price, t.post_shares) for t in said.transactions]
    assert lots == [
        (date(2025, 3, 14), 49_252, 37.59, 710_145),
        (date(2025, 3, 14), 3_525, 38.05, 706_620),
        (date(2025, 3, 17), 52_777, 39.0, 653_843),
    ]
    ranges = [t.price_range for t in said.transactions]
    assert ranges == [PriceRange(36.98, 37.97), PriceRange(37.99, 38.14), None]
    assert all(t.plan and t.code == "S" and t.acquired is False for t in said.transactions)
    assert said.transactions[0].footnotes == ("F1", "F2")


def test_the_offset_of_a_date_is_not_a_day(recorded):
    said = recorded("form4_AREC_tz_suffix_dates.xml")
    (row,) = said.transactions
    assert (said.period, row.day) == (date(2024, 7, 19), date(2024, 7, 19))
    assert (row.code, row.acquired, row.shares, row.price) == ("P", False, 800_000, 0.67)
    assert said.owners[0].ten_percent and not said.owners[0].director


def test_a_price_in_the_footnote_alone_and_derivatives_alone(recorded):
    said = recorded("form4_JBLU_derivative_only.xml")
    (row,) = said.transactions
    assert (row.derivative, row.code, row.shares, row.post_shares) == (True, "A", 110_474, 294_910)
    assert row.price is None and row.price_range is None and row.footnotes == ("F1", "F2")
    assert said.owners[0].title == "Chief Digital & Tech Officer"


def test_an_exercise_and_five_sales_before_the_box_existed(recorded):
    said = recorded("form4_SNOW_2022.xml")
    rows = [(t.code, t.shares, t.price) for t in said.transactions if not t.derivative]
    assert rows == [
        ("M", 200_000, 8.88),
        ("S", 73_170, 150.841),
        ("S", 74_907, 151.814),
        ("S", 41_986, 152.655),
        ("S", 5_496, 153.872),
        ("S", 4_441, 154.76),
    ]
    assert said.transactions[1].price_range == PriceRange(150.3, 151.295)
    assert not any(t.plan or t.withholding for t in said.transactions)
    (option,) = [t for t in said.transactions if t.derivative]
    assert option.price is None and option.post_shares == 2_219_299
    assert [h.shares for h in said.holdings][:4] == [577_218, 178_947, 9_686, 2_755]
    assert not any(h.direct for h in said.holdings)


def test_units_that_vest_and_shares_withheld_have_no_price_of_zero(recorded):
    said = recorded("form4_ZIP_RSU_with_disposal.xml")
    shares = [t.shares for t in said.transactions if t.code == "M" and not t.derivative]
    assert shares == [6_250, 13_347, 20_691, 20_444]
    assert {t.price for t in said.transactions if t.code == "M"} == {None}
    (tax,) = [t for t in said.transactions if t.code == "F"]
    assert (tax.shares, tax.price, tax.post_shares) == (33_148, 5.96, 1_138_960)


def test_a_gift_on_a_form_5_and_holdings_on_a_form_3(recorded):
    gift = recorded("form5_SNOW.xml")
    (row,) = gift.transactions
    assert (row.code, row.shares, row.price, row.acquired) == ("G", 61_386, None, False)
    assert [h.shares for h in gift.holdings] == [151_188, 125_737]
    held = recorded("form3_SNOW_holdings_only.xml")
    assert [h.shares for h in held.holdings] == [134_018, 383_594, *[95_898] * 4]
    assert [h.direct for h in held.holdings] == [False, True, *[False] * 4]


def test_a_whole_submission_with_an_exhibit_after_the_form(recorded):
    said = recorded("full_submission_form4_AIR_0001127602-25-001055.txt")
    (row,) = said.transactions
    assert (row.code, row.day, row.shares, row.price) == ("S", date(2025, 1, 10), 1_500, 66.903)
    assert row.price_range == PriceRange(66.835, 66.98)
    assert row.post_shares == 37_565
    assert said.owners[0].title == "Senior VP, GC, CAO & Secretary"


def test_an_amendment_of_which_only_an_invented_one_could_be_had(recorded):
    # The file is marked SYNTHETIC: no real 4/A in XML was found.
    said = recorded("SYNTHETIC_form4A.xml")
    rows = [(t.code, t.shares, t.price, t.direct) for t in said.transactions if not t.derivative]
    assert rows == [("P", 12_000, 5.25, True), ("P", 5_000, 5.4, False)]
    assert said.transactions[0].price_range == PriceRange(5.2, 5.3)
    assert said.owners[0].director and said.owners[0].officer


def test_what_is_cut_is_refused(recordings):
    with pytest.raises(SourceMalformed):
        parse_form4((recordings / "insider" / "malformed.xml").read_bytes())


ROW = """<nonDerivativeTransaction><securityTitle><value>Common</value></securityTitle>
<transactionDate><value>{day}</value></transactionDate><transactionCoding>
<transactionCode>{code}</transactionCode>{note}</transactionCoding><transactionAmounts>
<transactionShares><value>{shares}</value></transactionShares>
<transactionPricePerShare>{price}</transactionPricePerShare>
<transactionAcquiredDisposedCode><value>D</value></transactionAcquiredDisposedCode>
</transactionAmounts></nonDerivativeTransaction>"""


def form(*rows, box="", title="CEO", remarks="", notes="", symbol="ABC"):
    table = "".join(rows)
    return (
        "<ownershipDocument><documentType>4</documentType><issuer><issuerCik>1</issuerCik>"
        f"<issuerTradingSymbol>{symbol}</issuerTradingSymbol></issuer><reportingOwner>"
        "<reportingOwnerId><rptOwnerCik>2</rptOwnerCik></reportingOwnerId>"
        "<reportingOwnerRelationship><isOfficer>true</isOfficer>"
        f"<officerTitle>{title}</officerTitle></reportingOwnerRelationship></reportingOwner>"
        f"{box}<nonDerivativeTable>{table}</nonDerivativeTable><footnotes>{notes}</footnotes>"
        f"<remarks>{remarks}</remarks></ownershipDocument>"
    ).encode()


def row(code="S", day="2025-03-14", shares="10", price="<value>5</value>", note=""):
    return ROW.format(code=code, day=day, shares=shares, price=price, note=note)


def test_the_title_that_refers_to_the_remarks_is_read_there():
    said = parse_form4(form(title="See Remarks", remarks="Chief Invention Officer"))
    assert said.owners[0].title == "Chief Invention Officer"
    assert parse_form4(form(title="See Remarks")).owners[0].title == "See Remarks"


def test_the_box_means_the_rows_that_the_footnotes_name_and_all_where_none_does():
    marked = row(note='<footnoteId id="F1"/>')
    notes = '<footnote id="F1">Sold under a Rule 10b5-1 plan.</footnote>'
    box = "<aff10b5One>true</aff10b5One>"
    some = parse_form4(form(marked, row(), box=box, notes=notes))
    assert [t.plan for t in some.transactions] == [True, False]
    every = parse_form4(form(row(), row(), box=box))
    assert [t.plan for t in every.transactions] == [True, True]
    before = parse_form4(form(marked, row(), notes=notes))
    assert before.plan_box is None
    assert [t.plan for t in before.transactions] == [True, False]


@pytest.mark.parametrize("bad", ["", "n/a", "nan", "inf", "-5", "1,000"])
def test_a_number_that_is_none_is_none_and_not_zero(bad):
    (read,) = parse_form4(form(row(shares=bad, price=f"<value>{bad}</value>"))).transactions
    assert read.shares is None and read.price is None


def test_rows_without_a_day_or_code_are_counted_and_left_out():
    said = parse_form4(form(row(), row(day="soon"), row(day="2025-02-30"), row(code="")))
    assert len(said.transactions) == 1
    assert said.damaged == 3


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("IBM", "IBM"),
        ("ibm", "IBM"),
        ("NYSE: ibm", "IBM"),
        ("NASDAQ:AAPL", "AAPL"),
        ("(XOM)", "XOM"),
        ("BRK/B", "BRK.B"),
        ("LEN.B", "LEN.B"),
        ("GOOG, GOOGL", "GOOG"),
        ("NONE", None),
        ("none", None),
        ("N/A", None),
        ("n/a", None),
        ("", None),
        (None, None),
        ("123", None),
        ("-", None),
        ("ABCDEFGHIJKLMNOP", None),
    ],
)
def test_symbols_are_read_as_filers_write_them(text, symbol):
    assert symbol_of(text) == symbol


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("Sold pursuant to a Rule 10b5-1 trading plan adopted on May 1, 2012.", True),
        ("made under a 10b5\u20111 plan", True),
        ("This sale was not made pursuant to a Rule 10b5-1 plan.", False),
        ("Sold outside of the reporting person's 10b5-1 plan.", False),
        ("Effected for financial and tax planning purposes.", False),
    ],
)
def test_a_plan_is_known_by_its_footnote(text, plan):
    assert is_plan(text) is plan


def test_shares_sold_for_tax_are_no_choice_and_ranges_need_two_prices():
    assert is_withholding("Shares sold to cover tax withholding obligations upon vesting.")
    assert is_withholding("a mandatory sell-to-cover transaction")
    assert not is_withholding("The sales were effected for financial and tax planning purposes.")
    assert price_range("prices ranging from $1,036.98 to $1,037.97, inclusive") == PriceRange(
        1036.98, 1037.97
    )
    assert price_range("purchased at prices between $2.00 and $2.10") == PriceRange(2.0, 2.1)
    assert price_range("ranging from $5.00 to $4.00") is None
    assert price_range("a weighted average price") is None


GOOD = form(row(), row(note='<footnoteId id="F1"/>'), notes='<footnote id="F1">10b5-1</footnote>')


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_hostile_bytes_give_typed_errors(body):
    with pytest.raises(SourceMalformed):
        parse_form4(body)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=6), st.integers(0, 40))
def test_a_changed_form_is_a_form_or_a_typed_error(at, inserted, removed):
    body = GOOD[:at] + inserted + GOOD[at + removed :]
    try:
        said = parse_form4(body)
    except SourceMalformed:
        return
    assert all(t.shares is None or t.shares >= 0 for t in said.transactions)


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 1), inserted=st.binary(max_size=6), removed=st.integers(0, 200))
def test_a_changed_recording_is_a_form_or_a_typed_error(recordings, name, place, inserted, removed):
    body = (recordings / "insider" / name).read_bytes()
    at = int(place * len(body))
    try:
        said = parse_form4(body[:at] + inserted + body[at + removed :])
    except SourceMalformed:
        return
    assert said.form in FORMS and said.owners
