"""Which symbol an issuer's message carries. Pure."""

from collections.abc import Collection, Mapping
from datetime import datetime

from relentless.agents.base import Gap
from relentless.agents.insider.trades import Report


def named(
    reports: Collection[Report],
    own: Mapping[str, int],
    listed: Mapping[int, str] | None,
    as_of: datetime,
) -> tuple[dict[int, str], list[Gap]]:
    """Give the symbol of each issuer by its CIK.

    The run's own symbol goes first, then EDGAR's table, then what the issuer's newest Form 4 says.
    A symbol that belongs to another company is a slip of the filer, and one that two companies
    claim is nobody's: neither is told, and a gap names them. An issuer without a symbol has none:
    it is not listed, and no message can name it.
    """
    said: dict[int, tuple[datetime, str]] = {}
    for report in reports:
        if report.symbol is None or report.known_at > as_of:
            continue
        before = said.get(report.issuer_cik)
        if before is None or report.known_at > before[0]:
            said[report.issuer_cik] = (report.known_at, report.symbol)
    issuers = {report.issuer_cik for report in reports if report.known_at <= as_of}
    certain = {cik: symbol for cik, symbol in (listed or {}).items() if cik in issuers}
    certain |= {cik: symbol for symbol, cik in own.items()}
    owner = {symbol: cik for cik, symbol in (listed or {}).items()} | dict(own)
    names = dict(certain)
    claims: dict[str, list[int]] = {}
    refused: list[str] = []
    for cik, (_, symbol) in sorted(said.items()):
        if cik in certain:
            continue
        if owner.get(symbol, cik) != cik:
            refused.append(f"{symbol} of CIK {cik}")
        else:
            claims.setdefault(symbol, []).append(cik)
    for symbol, ciks in sorted(claims.items()):
        if len(ciks) == 1:
            names[ciks[0]] = symbol
        else:
            refused.append(f"{symbol} of CIK {', '.join(map(str, ciks))}")
    if not refused:
        return names, []
    return names, [Gap("symbols", "claimed_twice", "; ".join(refused)[:200])]
