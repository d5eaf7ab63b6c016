"""What a filing message says in words. Pure."""

from relentless.agents.edgar.entries import FilingEntry
from relentless.agents.edgar.items import ITEMS
from relentless.configs.clock import EASTERN

_FORMS = {
    "10-K": "annual report",
    "10-Q": "quarterly report",
    "DEF 14A": "proxy statement",
    "4": "change in an insider's holdings",
    "8-K": "current report",
}


def summary(entry: FilingEntry, symbol: str | None) -> str:
    """Say who filed what and when, with the items' names."""
    who = f"{entry.company} ({symbol})" if symbol else entry.company or f"CIK {entry.cik}"
    base = entry.form.removesuffix("/A")
    kind = _FORMS.get(base, "filing") + (", amended" if entry.form != base else "")
    said = f"{who}: {entry.form}, {kind}"
    if entry.accepted_at is not None:
        local = entry.accepted_at.astimezone(EASTERN)
        said += f", accepted {local:%Y-%m-%d %H:%M} {local:%Z}"
        if not entry.exact:
            said += " or up to five hours earlier"
    names = [f"{code} {ITEMS[code].name}" if code in ITEMS else code for code in entry.items]
    return (said + (f". Items: {'; '.join(names)}" if names else "") + ".")[:2_000]
