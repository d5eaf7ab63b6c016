"""Trades counted once, routine insiders, and the signal: what lifts it, what lowers it, when."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.insider.form4 import Owner, parse_form4
from relentless.agents.insider.naming import named
from relentless.agents.insider.routine import classify
from relentless.agents.insider.shelf import Progress, Shelf
from relentless.agents.insider.signal import WINDOW, issuer_signal
from relentless.agents.insider.trades import Report, Row, economic_trades, report_of

from .test_form4 import form
from .test_form4 import row as row_of_xml

NOW = datetime(2013, 10, 7, 9, 25, tzinfo=UTC)
CEO = Owner(1, "Able", officer=True)
CFO = Owner(2, "Baker", officer=True)
DIRECTOR = Owner(3, "Carver", director=True)
FUND = Owner(4, "Fund", ten_percent=True)
TWIN = Owner(5, "Fund's manager", ten_percent=True)
_NUMBER = iter(range(1, 10**6))


def row(day=date(2013, 10, 1), *, buy=True, shares=1000.0, price=50.0, post=5000.0, **more):
    said = {"direct": True, "plan": False} | more
    return Row(day, buy, shares, price, post, said["direct"], said["plan"])


def report(*rows, owners=(CEO,), at=None, form="4", days=None, original=None):
    number = next(_NUMBER)
    return Report(
        accession=f"0000000001-13-{number:06d}",
        form=form,
        known_at=at or datetime(2013, 10, 2, 21, tzinfo=UTC) + timedelta(seconds=number),
        issuer_cik=99,
        issuer_name="Issuer",
        symbol="ABC",
        owners=owners,
        rows=rows,
        days=days or tuple(sorted({r.day for r in rows})),
        original_day=original,
    )


def test_only_open_market_rows_with_shares_and_a_price_are_trades(recordings):
    def kept(name):
        body = (recordings / "insider" / name).read_bytes()
        return report_of(
            parse_form4(body), "0000000001-25-000001", datetime(2026, 9, 1, tzinfo=UTC)
        )

    assert [r.shares for r in kept("form4_DKNG_multi_S_10b5-1.xml").rows] == [49252, 3525, 52777]
    assert all(r.plan for r in kept("form4_DKNG_multi_S_10b5-1.xml").rows)
    sold = kept("form4_SNOW_2022.xml").rows
    assert sum(r.shares for r in sold) == 200_000
    assert sum(r.shares * r.price for r in sold) == pytest.approx(30_351_309.77)
    for name in (
        "form4_ZIP_RSU_with_disposal.xml",
        "form4_JBLU_derivative_only.xml",
        "form5_SNOW.xml",
        "form3_SNOW_holdings_only.xml",
    ):
        assert (kept(name).rows, kept(name).left_out) == ((), 0)
    contradicted = kept("form4_AREC_tz_suffix_dates.xml")  # code P, shares disposed of
    assert (contradicted.rows, contradicted.left_out) == ((), 1)
    assert [r.shares for r in kept("SYNTHETIC_form4A.xml").rows] == [12_000, 5_000]


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (("<value>10</value>", "<value>10</value>"), 1),
        (("<value>10</value>", "<value>1e300</value>"), 0),
        (("<value>5</value>", "<value>3000000</value>"), 0),
        (("<value>5</value>", "<value>0</value>"), 0),
        (("<value>D</value>", "<value>A</value>"), 0),
        (("<value>2025-03-14</value>", "<value>2025-03-21</value>"), 0),
    ],
)
def test_a_row_that_contradicts_itself_or_cannot_be_is_counted_and_left_out(change, rows):
    body = form(row_of_xml()).decode().replace(*change).encode()
    said = report_of(parse_form4(body), "x", datetime(2025, 3, 20, 21, tzinfo=UTC))
    assert (len(said.rows), said.left_out) == (rows, 1 - rows)


def test_an_equity_swap_is_no_trade_and_a_range_stands_for_a_price():
    swap = row_of_xml().replace(
        "</transactionCoding>", "<equitySwapInvolved>1</equitySwapInvolved></transactionCoding>"
    )
    at = datetime(2025, 3, 20, 21, tzinfo=UTC)
    said = report_of(parse_form4(form(swap)), "x", at)
    assert (said.rows, said.left_out) == ((), 0)
    ranged = row_of_xml(price='<footnoteId id="F1"/>')
    notes = '<footnote id="F1">prices ranging from $4.00 to $5.00</footnote>'
    (only,) = report_of(parse_form4(form(ranged, notes=notes)), "x", at).rows
    assert only.price == 4.5


def test_a_trade_of_several_owners_in_one_filing_is_one():
    (trade,) = economic_trades([report(row(), owners=(FUND, DIRECTOR, TWIN))])
    assert trade.insider == DIRECTOR
    assert trade.value == 50_000


def test_a_trade_in_two_filings_is_one_where_the_shares_are_the_same():
    direct, indirect = report(row(), owners=(CEO,)), report(row(direct=False), owners=(FUND,))
    (trade,) = economic_trades([indirect, direct])
    assert trade.insider == CEO
    assert trade.known_at == direct.known_at
    assert set(trade.accessions) == {direct.accession, indirect.accession}
    assert len(economic_trades([report(row(), owners=(FUND,)), report(row(), owners=(TWIN,))])) == 1


def test_like_trades_of_two_people_are_two():
    both = [report(row(), owners=(CEO,)), report(row(), owners=(CFO,))]
    assert len(economic_trades(both)) == 2
    unknown = [report(row(post=None), owners=(FUND,)), report(row(post=None), owners=(TWIN,))]
    assert len(economic_trades(unknown)) == 2
    assert len(economic_trades([report(row(), row(), owners=(CEO,))])) == 2


def test_an_amendment_takes_the_place_of_its_owners_day_and_is_known_as_the_original():
    first = report(row(), row(date(2013, 9, 30), shares=10.0), at=NOW - timedelta(days=4))
    other = report(row(shares=7.0), owners=(CFO,), at=NOW - timedelta(days=4))
    amended = report(row(shares=1200.0), form="4/A", at=NOW - timedelta(days=1))
    trades = economic_trades([first, other, amended])
    assert sorted(t.row.shares for t in trades) == [7.0, 10.0, 1200.0]
    assert {t.known_at for t in trades} == {first.known_at}


def test_an_amendment_without_its_original_is_known_when_that_was_filed():
    amended = report(row(), form="4/A", at=NOW, original=date(2013, 1, 10))
    (trade,) = economic_trades([amended])
    assert trade.known_at == datetime(2013, 1, 11, 3, tzinfo=UTC)
    assert issuer_signal([amended], NOW) is None


def history(*months, owner=CEO, delay=timedelta(days=2)):
    reports = []
    for year, month in months:
        day = date(year, month, 10)
        at = datetime(year, month, 10, tzinfo=UTC) + delay
        reports.append(report(row(day, buy=False, post=float(year)), owners=(owner,), at=at))
    return reports


@pytest.mark.parametrize(
    ("months", "kind"),
    [
        ([(2010, 5), (2011, 5), (2012, 5)], "routine"),
        ([(2010, 5), (2011, 5), (2012, 6)], "opportunistic"),
        ([(2010, 1), (2010, 5), (2011, 3), (2011, 5), (2012, 5), (2012, 7)], "routine"),
        ([(2011, 5), (2012, 5), (2013, 5)], "unclassified"),
        ([(2010, 5), (2012, 5)], "unclassified"),
        ([(2009, 5), (2010, 5), (2011, 5)], "unclassified"),
        ([], "unclassified"),
    ],
)
def test_insiders_are_classified_as_in_the_paper(months, kind):
    assert classify(economic_trades(history(*months)), 2013) == kind


def test_what_was_reported_after_the_year_began_was_not_known_then():
    past = history((2010, 5), (2011, 5))
    late = history((2012, 5), delay=timedelta(days=300))
    assert classify(economic_trades(past + late), 2013) == "unclassified"
    assert classify(economic_trades(past + history((2012, 5))), 2013) == "routine"


def test_the_score_is_the_formulas():
    # An opportunistic officer bought 300,000 dollars: b = 300/400; score = 0.75 / 1.75.
    past = history((2010, 5), (2011, 7), (2012, 1))
    signal = issuer_signal([*past, report(row(shares=6000.0))], NOW)
    assert signal.score == pytest.approx(0.75 / 1.75, abs=1e-9)
    assert signal.kinds == ("opportunistic",)
    # A director of unknown past sold 100,000: s = 0.25 * 0.5 * 0.8 * 0.5.
    sale = report(row(buy=False, shares=2000.0), owners=(DIRECTOR,))
    mixed = issuer_signal([*past, report(row(shares=6000.0)), sale], NOW)
    assert mixed.score == pytest.approx((0.75 - 0.05) / 1.8, abs=1e-9)
    assert (mixed.insiders(purchase=True), mixed.insiders(purchase=False)) == (1, 1)


def test_routine_and_planned_trades_weigh_nothing_and_are_told():
    past = history((2010, 10), (2011, 10), (2012, 10))
    routine = issuer_signal([*past, report(row(buy=False))], NOW)
    assert (routine.score, routine.kinds, len(routine.trades)) == (0.0, ("routine",), 1)
    planned = issuer_signal([report(row(buy=False, plan=True))], NOW)
    assert planned.score == 0.0
    assert planned.value(purchase=False) == 0.0
    assert planned.value(purchase=False, plan=True) == 50_000.0


def test_three_officers_or_directors_who_buy_lift_the_score_to_the_floor():
    owners = [CEO, CFO, DIRECTOR]
    buys = [report(row(shares=10.0, post=float(o.cik)), owners=(o,)) for o in owners]
    sale = report(row(buy=False, shares=1e6), owners=(Owner(8, "S", officer=True),))
    assert issuer_signal([*buys, sale], NOW).score == 0.5
    assert issuer_signal([*buys[:2], sale], NOW).score < 0
    with_fund = [*buys[:2], report(row(shares=10.0, post=9.0), owners=(FUND,))]
    assert not issuer_signal(with_fund, NOW).cluster


def test_without_a_trade_in_the_window_there_is_no_signal():
    assert issuer_signal([], NOW) is None
    assert issuer_signal([report(at=NOW - timedelta(days=1))], NOW) is None
    old = report(row(), at=NOW - WINDOW)
    assert issuer_signal([old], NOW) is None
    assert issuer_signal([old], NOW - timedelta(seconds=1)) is not None


def test_a_trade_that_leaves_the_window_moves_known_at_and_the_score():
    first = report(row(shares=9000.0), at=NOW - timedelta(days=29))
    second = report(row(buy=False, shares=100.0), owners=(CFO,), at=NOW - timedelta(days=3))
    before = issuer_signal([first, second], NOW)
    later = NOW + timedelta(days=1)
    after = issuer_signal([first, second], later)
    assert before.score > 0 > after.score
    assert before.changed_at == second.known_at
    assert after.changed_at == first.known_at + WINDOW == later
    assert before.ends_at == after.ends_at == second.known_at + WINDOW


def test_trades_that_were_all_taken_back_are_said_to_be_zero():
    first = report(row(), at=NOW - timedelta(days=4))
    gone = report(form="4/A", days=(date(2013, 10, 1),), at=NOW - timedelta(days=1))
    signal = issuer_signal([first, gone], NOW)
    assert (signal.score, signal.trades) == (0.0, ())
    assert signal.changed_at == gone.known_at
    assert signal.ends_at == first.known_at + WINDOW
    assert issuer_signal([first, gone], NOW - timedelta(days=2)).score > 0


OWNERS = [CEO, CFO, DIRECTOR, FUND, Owner(6, "D", director=True), Owner(7, "O")]
trade_rows = st.builds(
    lambda owner, buy, shares, plan, back: report(
        row(buy=buy, shares=shares, plan=plan, post=shares),
        owners=(OWNERS[owner],),
        at=NOW - timedelta(days=back),
    ),
    st.integers(0, len(OWNERS) - 1),
    st.booleans(),
    st.floats(1, 1e6),
    st.booleans(),
    st.integers(0, 40),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(trade_rows, min_size=1, max_size=8), st.integers(0, 5), st.floats(1, 1e6))
def test_a_further_purchase_never_lowers_and_a_further_sale_never_raises(some, who, shares):
    owner = (OWNERS[who],)
    start = [report(row(buy=False, plan=True, post=1.5)), *some]
    score = issuer_signal(start, NOW).score
    bought = report(row(shares=shares, post=0.5), owners=owner, at=NOW - timedelta(hours=1))
    sold = report(row(buy=False, shares=shares, post=0.5), owners=owner, at=NOW)
    assert issuer_signal([*start, bought], NOW).score >= score
    assert issuer_signal([*start, sold], NOW).score <= score
    assert -1 < score < 1


@settings(max_examples=60, deadline=None)
@given(st.lists(trade_rows, min_size=1, max_size=6), st.lists(st.integers(0, 80), min_size=2))
def test_known_at_never_moves_back_and_is_never_later_than_the_moment(some, days):
    moments = [NOW + timedelta(days=day) for day in sorted(days)]
    said = [(at, issuer_signal(some, at)) for at in moments]
    known = [(at, signal) for at, signal in said if signal is not None]
    for at, signal in known:
        assert signal.changed_at <= at < signal.ends_at
        # The order of the reports and those that come later change nothing.
        assert issuer_signal(some[::-1], at) == signal
    changed = [signal.changed_at for _, signal in known]
    assert changed == sorted(changed)
    for (_, one), (_, two) in pairwise(known):
        if one.changed_at == two.changed_at:
            assert one == two


def test_symbols_that_two_companies_claim_are_told_of_neither():
    def of(cik, symbol):
        made = report(row())
        return Report(
            **{s: getattr(made, s) for s in made.__slots__}
            | {
                "issuer_cik": cik,
                "symbol": symbol,
                "accession": f"0000000001-13-9{cik:05d}",
            }
        )

    reports = [of(1, "AAA"), of(2, "BBB"), of(3, "BBB"), of(4, "AAPL"), of(5, None), of(6, "OLD")]
    names, gaps = named(reports, {"AAPL": 320193}, {6: "NEW"}, NOW)
    assert names == {1: "AAA", 6: "NEW", 320193: "AAPL"}
    (gap,) = gaps
    assert "BBB of CIK 2, 3" in gap.detail and "AAPL of CIK 4" in gap.detail


def test_what_is_kept_comes_back_and_a_line_that_was_cut_costs_only_itself(tmp_path):
    shelf = Shelf(tmp_path, "here")
    one, two = report(row()), report(row(buy=False))
    shelf.add([one, two])
    (table,) = tmp_path.glob("*/reports.jsonl")
    table.write_bytes(table.read_bytes()[:-20])
    three = report(row(), owners=(CEO, FUND))
    shelf.add([three])
    assert shelf.reports() == {r.accession: r for r in (one, three)}
    assert Shelf(tmp_path, "elsewhere").reports() == {}
    shelf.keep_progress(Progress({date(2013, 10, 4): 3}, NOW))
    assert shelf.progress() == Progress({date(2013, 10, 4): 3}, NOW)
    left = shelf.prune(shelf.reports(), NOW + timedelta(days=2000))
    assert left == shelf.reports() == {}
