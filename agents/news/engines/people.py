"""Which people a text names: by an office before or after the name. Pure. Nothing is guessed.

"CEO Jane Doe", "Fed Chair Powell", "Jane Doe, chief executive": a name without an office is left.
"""

import re
from typing import Final

_NAME: Final = r"[A-Z][a-zà-ÿ]+(?:[A-Z][a-zà-ÿ]+)?(?:['’-][A-Z][a-zà-ÿ]+)*"
_FULL: Final = (
    rf"(?P<name>{_NAME}(?:\s(?:[A-Z]\.|de|van|von|der|bin|al|el|la|le))*(?:\s{_NAME}){{0,2}})"
)
_FULL_TWO: Final = rf"(?P<name>{_NAME}(?:\s(?:[A-Z]\.|de|van|von|der|bin))*(?:\s{_NAME}){{1,2}})"
_OFFICE: Final = (
    r"(?:(?:Fed|Federal Reserve|ECB|SEC|FTC|FDIC|Treasury|Bank of England|BOE|BOJ|Vice|Prime|Energy|Commerce|Defense|Finance)\s)?"
    r"(?:C\.?E\.?O\.?|C\.?F\.?O\.?|C\.?O\.?O\.?|C\.?T\.?O\.?|[Cc]hief [Ee]xecutive(?: [Oo]fficer)?|[Cc]hief (?:[Ff]inancial|[Oo]perating|[Tt]echnology) [Oo]fficer|[Cc]hair(?:man|woman|person)?|"
    r"[Pp]resident|[Gg]overnor|[Ss]ecretary|[Mm]inister|[Ff]ounder|[Cc]o-[Ff]ounder|[Aa]nalyst|[Ss]enator|Sen\.|Rep\.|[Jj]udge|[Dd]irector|[Ee]conomist|[Ii]nvestor|[Bb]illionaire)"
)
_BEFORE: Final = re.compile(rf"\b{_OFFICE}\s{_FULL}")
_AFTER: Final = re.compile(
    rf"\b{_FULL_TWO},\s(?:(?:the|a|its|who is|former)\s)?(?:[\w&'’.-]+\s){{0,3}}?{_OFFICE}\b"
)
_APPOINTED: Final = re.compile(
    rf"\b(?:names|named|appoints|appointed|hires|hired|taps|tapped|promotes|promoted|elects|elected)\s{_FULL_TWO}\s(?:as|to|its|new|{_OFFICE}|chief|president)\b"
)
_NOT_NAMES: Final = frozenset(
    [
        "Says",
        "Said",
        "Sees",
        "Warns",
        "Steps",
        "Resigns",
        "Quits",
        "Sells",
        "Buys",
        "Joins",
        "Leaves",
        "Tells",
        "Calls",
        "Defends",
        "Expects",
        "Announces",
        "Plans",
        "Pay",
        "Of",
        "And",
        "The",
        "To",
        "In",
        "On",
        "For",
        "Is",
        "Has",
        "Will",
        "Street",
        "Bank",
        "Group",
        "Inc",
        "Corp",
        "Company",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "Office",
        "Officer",
        "Federal",
        "Reserve",
        "Board",
        "General",
        "Capital",
        "Partners",
        "Faces",
        "Could",
        "May",
        "Should",
        "Signals",
        "Urges",
        "Denies",
        "Gets",
        "Dies",
        "Out",
        "After",
        "Amid",
        "Over",
        "At",
        "With",
        "Stock",
        "Stocks",
        "Market",
        "Markets",
        "Shares",
        "Wants",
        "Takes",
        "Makes",
        "Admits",
        "Hints",
        "Backs",
        "Slams",
        "Reveals",
        "Once",
        "Predicted",
        "Races",
        "Nominee",
        "Candidate",
        "Elect",
        "Day",
        "Council",
        "Ratings",
        "Estimates",
        "Upgrades",
        "Downgrades",
        "Day",
        "Meeting",
        "Compensation",
        "Exit",
        "Search",
        "Succession",
        "Transition",
        "Talks",
        "Change",
        "Letter",
        "Interview",
        "Who",
        "Why",
        "How",
        "What",
        "When",
    ]
)


def people(text: str) -> list[str]:
    """Give the people whom a text names with an office, in order, each once."""
    found: list[tuple[int, str]] = []
    for pattern in (_BEFORE, _AFTER, _APPOINTED):
        for match in pattern.finditer(text):
            name = _trimmed(match["name"])
            if name:
                found.append((match.start("name"), name))
    ordered = [name for _, name in sorted(found)]
    longest = [
        name
        for name in ordered
        if not any(
            name != other and re.search(rf"\b{re.escape(name)}\b", other) for other in ordered
        )
    ]
    return list(dict.fromkeys(longest))


def _trimmed(name: str) -> str:
    """Cut a name where a word begins that is none ("Powell Says")."""
    kept: list[str] = []
    for word in re.sub(r"['’]s$", "", name).split():
        if word in _NOT_NAMES:
            break
        kept.append(re.sub(r"['’]s$", "", word))
    while kept and kept[-1][0].islower():
        kept.pop()
    return " ".join(kept)
