"""Trading symbols as filers write them. Pure."""

import re
from typing import Final

_NONE: Final = frozenset(
    {"NONE", "N/A", "NA", "N.A.", "N.A", "NOT APPLICABLE", "NOT LISTED", "UNLISTED", "NULL", "TBD"}
)
_EXCHANGE: Final = re.compile(
    r"(?:NYSE(?:[ -](?:AMERICAN|ARCA|MKT|AMEX))?|NASDAQ(?:[ -]?(?:GS|GM|CM))?|AMEX|OTC[A-Z]*"
    r"(?:[ -]PINK)?|CBOE|BATS|TSX|PINK(?: SHEETS)?)\s*[:\-]\s*"
)
_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]{0,9}(?:[.\-][A-Z0-9]{1,4})?")


def symbol_of(text: str | None) -> str | None:
    """Read a trading symbol; None where the issuer has none.

    "NYSE: ibm" is IBM, "(XOM)" is XOM, "BRK/A" is BRK.A, "GOOG, GOOGL" is the first of them.
    "NONE", "N/A" and what is no symbol are None.
    """
    said = re.sub(r"[\s()\[\]\"'$]+", " ", text or "").strip().upper()
    if said in _NONE:
        return None
    said = _EXCHANGE.sub("", said, count=1)
    first = re.split(r"[,;&]|\s", said.strip(), maxsplit=1)[0].replace("/", ".")
    if first in _NONE or len(first) > 12 or _SYMBOL.fullmatch(first) is None:
        return None
    return first
