"""Which people a text names: by an office before or after the name. Pure. Nothing is guessed.

"CEO Jane Doe", "Fed Chair Powell", "Jane Doe, chief executive": a name without an office is left.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

from relentless.agents.news.engines.words import plain

_NAME: Final = r"[A-Z][a-zà-ÿ]+(?:[A-Z][a-zà-ÿ]+)?(?:['-][A-Z][a-zà-ÿ]+)*"
_FULL: Final = (
    rf"(?P<name>{_NAME}(?:\s(?:[A-Z]\.|de|van|von|der|bin|al|el|la|le))*(?:\s{_NAME}){{0,2}})"
)
_FULL_TWO: Final = rf"(?P<name>{_NAME}(?:\s(?:[A-Z]\.|de|van|von|der|bin))*(?:\s{_NAME}){{1,2}})"
_WORDS: Final = tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))[
    "person"
]
_OFFICE: Final = _WORDS["office"]
_BEFORE: Final = re.compile(rf"\b{_OFFICE}\s{_FULL}")
_AFTER: Final = re.compile(
    rf"\b{_FULL_TWO},\s(?:(?:the|a|its|who is|former)\s)?(?:[\w&'.-]+\s){{0,3}}?{_OFFICE}\b"
)
_APPOINTED: Final = re.compile(
    rf"\b(?:names|named|appoints|appointed|hires|hired|taps|tapped|promotes|promoted|elects|elected)\s{_FULL_TWO}\s(?:as|to|its|new|{_OFFICE}|chief|president)\b"
)
_NOT_NAMES: Final = frozenset(_WORDS["not_names"].split())


def people(text: str) -> list[str]:
    """Give the people whom a text names with an office, in order, each once."""
    text = plain(text)
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
    for word in re.sub(r"'s$", "", name).split():
        if word in _NOT_NAMES:
            break
        kept.append(re.sub(r"'s$", "", word))
    while kept and kept[-1][0].islower():
        kept.pop()
    return " ".join(kept)
