"""Open-market trades: the purchases and sales that one filing reports, and each counted once. Pure.

A trade is a row of the table of non-derivative securities with code P and shares acquired or code S
and shares disposed of, with shares and a price, and no equity swap. Grants (A), exercises (M) and
the shares withheld for their tax (F), gifts (G) and everything else is none. Between the parser
(:mod:`~relentless.agents.insider.form4`) below and the signal above.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from relentless.agents.insider.form4 import Document, Owner, Transaction
from relentless.configs.clock import EASTERN

MAX_PRICE: Final = 2_000_000.0
"""Dollars a share; more is the total typed into the price's place. No share has cost as much."""

MAX_SHARES: Final = 1e11
"""More than any company has; beyond it the number is a slip."""


@dataclass(frozen=True, slots=True)
class Row:
    """One open-market row of a filing."""

    day: date
    purchase: bool
    shares: float
    price: float
    """As stated; the middle of the stated range where no price is."""
    post_shares: float | None
    direct: bool
    plan: bool
    """Under a Rule 10b5-1 plan, or sold to pay the tax on an award: nobody chose the moment."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one filing says, as it is kept."""

    accession: str
    form: str
    known_at: datetime
    """When the public could read it; in UTC."""
    issuer_cik: int
    issuer_name: str
    symbol: str | None
    owners: tuple[Owner, ...]
    rows: tuple[Row, ...]
    days: tuple[date, ...]
    """Of all its transactions, trades or not: what an amendment speaks about."""
    original_day: date | None = None
    left_out: int = 0
    """Rows coded P or S that are no trades: no price, no shares, or the code contradicted."""
    sha256: str = ""
    url: str = ""
    origin: str = "live"

    @property
    def amends(self) -> bool:
        """Say whether it is an amendment."""
        return self.form.endswith("/A")


@dataclass(frozen=True, slots=True)
class Trade:
    """One economic trade, whoever reported it and however often."""

    issuer_cik: int
    insider: Owner
    """The owner who stands for all that reported it: the closest to the company."""
    row: Row
    known_at: datetime
    """When it could first be read: its signal date."""
    accessions: tuple[str, ...]

    @property
    def value(self) -> float:
        """Dollars paid or received."""
        return self.row.shares * self.row.price


def report_of(
    document: Document,
    accession: str,
    known_at: datetime,
    *,
    sha256: str = "",
    url: str = "",
    origin: str = "live",
) -> Report:
    """Keep what counts of a document, and count what was meant to and cannot.

    A trade dated after its filing became public is left out as well.
    """
    known_day = known_at.astimezone(EASTERN).date()
    market = [t for t in document.transactions if not t.derivative and t.code in ("P", "S")]
    rows = [_row(transaction, known_day) for transaction in market if not transaction.equity_swap]
    return Report(
        accession=accession,
        form=document.form,
        known_at=known_at,
        issuer_cik=document.issuer_cik,
        issuer_name=document.issuer_name[:150],
        symbol=document.symbol,
        owners=document.owners,
        rows=tuple(row for row in rows if row is not None),
        days=tuple(sorted({t.day for t in document.transactions})),
        original_day=document.original_day,
        left_out=rows.count(None) + document.damaged,
        sha256=sha256,
        url=url,
        origin=origin,
    )


def _row(transaction: Transaction, known_day: date) -> Row | None:
    price = transaction.price
    if price is None and transaction.price_range is not None:
        price = (transaction.price_range.low + transaction.price_range.high) / 2
    purchase = transaction.code == "P"
    if (
        transaction.acquired is not purchase
        or not transaction.shares
        or price is None
        or price > MAX_PRICE
        or transaction.shares > MAX_SHARES
        or transaction.day > known_day
    ):
        return None
    return Row(
        day=transaction.day,
        purchase=purchase,
        shares=transaction.shares,
        price=price,
        post_shares=transaction.post_shares,
        direct=transaction.direct is not False,
        plan=transaction.plan or (transaction.withholding and not purchase),
    )


def closeness(owner: Owner) -> int:
    """Rank an owner: 0 officer, 1 director, 2 another tie, 3 a holder of ten per cent alone."""
    return 0 if owner.officer else 1 if owner.director else 2 if not owner.ten_percent else 3


def economic_trades(reports: Iterable[Report]) -> list[Trade]:
    """Give the trades of an issuer's reports, amended and each counted once, the oldest first.

    An amendment's rows take the place of all that its owners reported before for the days that it
    speaks about; the trade keeps the moment at which it was first known. Reports of several
    owners, and several reports of one trade, give one trade.
    """
    ordered = sorted(reports, key=lambda report: (report.known_at, report.accession))
    standing = _amended(ordered)
    groups: dict[tuple[object, ...], list[tuple[Report, Row]]] = {}
    for report in standing:
        seen: Counter[tuple[object, ...]] = Counter()
        for row in report.rows:
            same: tuple[object, ...] = (row.day, row.purchase, row.shares, row.price)
            # Without the shares held afterwards nothing tells one trade from another's like it.
            same += (report.accession if row.post_shares is None else row.post_shares,)
            seen[same] += 1
            groups.setdefault((*same, seen[same]), []).append((report, row))
    trades = [trade for group in groups.values() for trade in _merged(group)]
    return sorted(trades, key=lambda trade: (trade.known_at, trade.accessions, trade.row.day))


def _amended(ordered: Sequence[Report]) -> list[Report]:
    """Let each amendment take the place of what its owners said before about its days."""
    standing: list[Report] = []
    for report in ordered:
        if report.amends:
            owners, days = {owner.cik for owner in report.owners}, set(report.days)
            first = report.known_at
            for at, before in enumerate(standing):
                if owners.isdisjoint(owner.cik for owner in before.owners):
                    continue
                if days.isdisjoint(before.days):
                    continue
                first = min(first, before.known_at)
                kept = tuple(row for row in before.rows if row.day not in days)
                standing[at] = replace(before, rows=kept)
            report = replace(report, known_at=_first_known(report, first))
        standing.append(report)
    return standing


def _first_known(report: Report, first: datetime) -> datetime:
    """Give when an amended trade was first known: where the original was not seen, its own word."""
    if first < report.known_at or report.original_day is None:
        return first
    end = datetime(
        report.original_day.year,
        report.original_day.month,
        report.original_day.day,
        22,
        tzinfo=EASTERN,
    )
    return min(first, end)


def _merged(group: list[tuple[Report, Row]]) -> list[Trade]:
    """Make one trade of the rows that are the same shares, reported by several."""
    clusters: list[list[tuple[Report, Row]]] = []
    for item in group:
        home = next((c for c in clusters if any(_joint(item, other) for other in c)), None)
        if home is None:
            clusters.append([item])
        else:
            home.append(item)
    return [_trade(cluster) for cluster in clusters]


def _joint(one: tuple[Report, Row], two: tuple[Report, Row]) -> bool:
    """Say whether two reports of equal rows are about the same shares.

    Shares have one direct holder. So two reports are joint where they have an owner in common,
    where one of them holds indirectly what the other holds, or where all are holders of ten per
    cent: a group whose members each report the whole.
    """
    (first, row), (second, other) = one, two
    if not {owner.cik for owner in first.owners}.isdisjoint(owner.cik for owner in second.owners):
        return True
    holders = all(closeness(owner) == 3 for owner in (*first.owners, *second.owners))
    return holders or not (row.direct and other.direct)


def _trade(cluster: list[tuple[Report, Row]]) -> Trade:
    owners = {owner.cik: owner for report, _ in cluster for owner in report.owners}
    return Trade(
        issuer_cik=cluster[0][0].issuer_cik,
        insider=min(owners.values(), key=lambda owner: (closeness(owner), owner.cik)),
        row=replace(cluster[0][1], plan=any(row.plan for _, row in cluster)),
        known_at=min(report.known_at for report, _ in cluster),
        accessions=tuple(sorted({report.accession for report, _ in cluster})),
    )
