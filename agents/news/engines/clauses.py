"""Which part of a text speaks of a target: clauses, by marks and conjunctions. Pure.

"Apple falls as Samsung gains" is bad news for the one and good news for the other.
"""

import re
from collections.abc import Sequence
from typing import Final

from relentless.agents.news.engines.words import lexicon, plain

_BREAK: Final = re.compile(
    r"\s*(?:;|\s-\s|(?<=[a-z%])[.!?]\s(?=[A-Z\"'])"
    r"|,?\s+(?:while|whereas|whilst|although|though|but|even as|as|despite|after|amid|following)\s"
    r"|,\s+(?:and|as|with)\s|,\s)"
)
_OTHER: Final = re.compile(
    r"\b(?:as|while|whereas|but)\s(?P<name>[A-Z][\w&.'-]*(?:\s[A-Z][\w&.'-]*){0,2})\s(?P<verb>[a-z]+)\b"
)
_AND: Final = re.compile(r",?\s+and\s+")


def clauses(text: str) -> list[tuple[int, int]]:
    """Split a text at its conjunctions; give each clause's place."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BREAK.finditer(plain(text)):
        if match.start() > start:
            spans.append((start, match.start()))
        start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans or [(0, len(text))]


def strangers(text: str) -> list[tuple[int, int]]:
    """Give where a clause begins with a name and a movement of its own: "as Samsung gains"."""
    moves = lexicon().verbs
    return [match.span("name") for match in _OTHER.finditer(plain(text)) if match["verb"] in moves]


def about(text: str, place: tuple[int, int], others: Sequence[tuple[int, int]]) -> str:
    """Give the part of a text that speaks of the target at ``place``.

    The whole text where no other target stands in it; else the clauses from the target's own up to
    the next one that holds another target. Clauses before the first target go to it.
    """
    if not others:
        return text
    spans = clauses(text)
    own = [index for index, span in enumerate(spans) if _holds(span, place)]
    if not own:
        return text
    foreign = {index for index, span in enumerate(spans) for other in others if _holds(span, other)}
    index = own[0]
    if index in foreign:
        return _within(text, spans[index], place, others)
    last = index
    while last + 1 < len(spans) and last + 1 not in foreign:
        last += 1
    first = index
    while first > 0 and first - 1 not in foreign and not any(f < first for f in foreign):
        first -= 1
    return text[spans[first][0] : spans[last][1]]


def _within(
    text: str, span: tuple[int, int], place: tuple[int, int], others: Sequence[tuple[int, int]]
) -> str:
    """Split one clause at its "and" where targets stand on both sides and a verb on each."""
    start, end = span
    pieces: list[tuple[int, int]] = []
    at = start
    for match in _AND.finditer(text, start, end):
        pieces.append((at, match.start()))
        at = match.end()
    pieces.append((at, end))
    if len(pieces) > 1 and all(len(text[a:b].split()) >= 2 for a, b in pieces):
        for a, b in pieces:
            piece = (a, b)
            if _holds(piece, place) and not any(_holds(piece, other) for other in others):
                return text[a:b]
    return text[start:end]


def _holds(span: tuple[int, int], place: tuple[int, int]) -> bool:
    return span[0] <= place[0] < span[1]
