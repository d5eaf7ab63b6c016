"""The Forms 4 in the box: true shapes, the same whenever asked, a past, nobody's names."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from relentless.configs.clock import EASTERN
from relentless.sandbox import form4
from relentless.sandbox.filings import Filed

MakeBox = Callable[..., Any]
WORLD: Any = SimpleNamespace(seed=20131007, symbols=("SPY", "IBM", "AAPL", "MSFT", "JPM", "XOM"))


def every(first: date, last: date, world: Any = WORLD) -> list[Filed]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [filed for day in days for filed in form4.filed_on(world, day)]


QUARTER = every(date(2013, 7, 8), date(2013, 10, 6))


def test_a_day_is_the_same_whenever_and_in_whatever_order_it_is_asked_for() -> None:
    form4._own.cache_clear()
    form4._others.cache_clear()
    form4._planned.cache_clear()
    form4._market.cache_clear()
    day = date(2013, 10, 4)
    alone = form4.filed_on(WORLD, day)
    assert alone == [
        filed for filed in QUARTER if filed.accepted_at.astimezone(EASTERN).date() == day
    ]
    other = SimpleNamespace(seed=1, symbols=WORLD.symbols)
    assert form4.filed_on(other, day) != alone


def test_filings_come_on_business_days_alone_and_keep_the_day_in_the_evening() -> None:
    assert len({filed.accession for filed in QUARTER}) == len(QUARTER)
    for filed in QUARTER:
        local = filed.accepted_at.astimezone(EASTERN)
        assert local.weekday() < 5 and filed.filed == local.date()
    assert form4.filed_on(WORLD, date(2013, 9, 2)) == []  # Labor Day
    assert form4.filed_on(WORLD, date(2013, 10, 5)) == []


def test_a_companys_own_filings_are_those_of_the_days() -> None:
    first, last = date(2013, 1, 1), date(2013, 10, 6)
    whole = every(first, last)
    for symbol in WORLD.symbols:
        about = form4.filed_about(WORLD, symbol, first, last)
        ciks = {filed.parties[0][1] for filed in about}
        assert about == [filed for filed in whole if filed.parties[0][1] in ciks]
    assert form4.filed_about(WORLD, "SPY", first, last) == []


def test_every_shape_of_a_real_form_is_there() -> None:
    seen: Counter[str] = Counter()
    for filed in QUARTER:
        root = Xml.fromstring(filed.document)
        assert root.tag == "ownershipDocument"
        assert root.findtext("schemaVersion") == "X0306"
        assert root.findtext("documentType") == filed.form
        assert root.find("aff10b5One") is None
        owners = root.findall("reportingOwner")
        assert {f"{int(o.findtext('.//rptOwnerCik') or 0)}" for o in owners} == {
            str(cik) for role, cik, _ in filed.parties if role == "Reporting"
        }
        codes = [e.text for e in root.iter("transactionCode")]
        prices = root.findall(".//transactionPricePerShare")
        seen.update(f"code {code}" for code in codes)
        seen["4/A"] += filed.form == "4/A"
        seen["several owners"] += len(owners) > 1
        seen["footnote price"] += any(p.find("value") is None for p in prices)
        seen["price 0"] += any(p.findtext("value") == "0" for p in prices)
        seen["derivative only"] += root.find("nonDerivativeTable/*") is None
        seen["offset"] += b"-05:00<" in filed.document
        seen["words"] += b"<isDirector>true" in filed.document
        seen["see remarks"] += b"See Remarks" in filed.document
        seen["no symbol"] += root.findtext("issuer/issuerTradingSymbol") in ("NONE", "N/A")
        seen["plan"] += b"10b5-1" in filed.document
    wanted = {f"code {code}" for code in "PSAMF"} | {"4/A", "several owners", "footnote price"}
    wanted |= {"price 0", "derivative only", "offset", "words", "see remarks", "no symbol", "plan"}
    assert {name for name, count in seen.items() if count} >= wanted


def test_the_box_of_the_rule_and_the_schema_are_those_of_their_time() -> None:
    (late, *_) = every(date(2025, 3, 3), date(2025, 3, 7))
    root = Xml.fromstring(late.document)
    assert root.findtext("schemaVersion") == "X0508"
    assert root.findtext("aff10b5One") in ("0", "1", "true", "false")
    (newest, *_) = every(date(2026, 3, 3), date(2026, 3, 6))
    assert b"<schemaVersion>X0609<" in newest.document


def test_names_and_numbers_are_visibly_invented() -> None:
    for filed in QUARTER:
        for role, cik, name in filed.parties:
            assert "Invented" in name or "invented" in name or "sandbox" in name
            assert role == "Issuer" or cik > 9_800_000


@pytest.mark.parametrize("symbol", ["IBM", "AAPL", "MSFT", "JPM", "XOM"])
def test_one_insider_of_each_company_sells_in_the_same_month_of_every_year(symbol: str) -> None:
    about = form4.filed_about(WORLD, symbol, date(2010, 1, 1), date(2012, 12, 31))
    months: dict[int, set[int]] = {}
    for filed in about:
        if filed.parties[1][2].startswith("Baker") and b"Code>S<" in filed.document:
            months.setdefault(filed.accepted_at.year, set()).add(filed.accepted_at.month)
    assert set.intersection(*(months[year] for year in (2010, 2011, 2012)))


async def test_the_box_serves_them_only_once_they_are_accepted(box: MakeBox) -> None:
    (filed, *_) = [f for f in QUARTER if f.accepted_at.astimezone(EASTERN).date().day == 4][-1:]
    path = f"/sec_archive/Archives/edgar/data/{filed.parties[0][1]}/{filed.accession}.txt"
    local = filed.accepted_at.astimezone(EASTERN)
    here = box((local - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S"))
    assert (await here.get(path)).status_code == 403
    here.at(local.strftime("%Y-%m-%dT%H:%M:%S"))
    response = await here.get(path)
    assert response.status_code == 200
    assert response.headers["x-relentless-origin"] == "synthetic"
    assert filed.document.strip() in response.content
