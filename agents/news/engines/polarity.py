"""What a text's words say by rule: movements and their objects, comparisons, polar words. Pure.

"Costs fell" is good news and "profit fell" bad: a movement counts as its sign times its object's.
"""

import math
import re
from dataclasses import dataclass, fields
from typing import Final

from relentless.agents.news.engines.figures import comparisons
from relentless.agents.news.engines.words import Lexicon, lexicon, plain, simplified, tokens

BEFORE: Final = 12
"""How many tokens back a movement's subject is looked for."""
AFTER: Final = 5
_STOP: Final = frozenset({".", ";", "!", "?"})
_FIGURE: Final = re.compile(r"\d")
_LINK: Final = frozenset({"in", "of"})


@dataclass(frozen=True, slots=True)
class Signals:
    """What the rules count in one text. Every field is a number and all are features."""

    moved_good: float
    """Movements with an object that make good news."""
    moved_bad: float
    bare_up: float
    """Movements without a known object."""
    bare_down: float
    compared_better: float
    compared_worse: float
    change: float
    """Sum of the comparisons' relative changes, as good or bad news."""
    words_good: float
    words_bad: float
    phrases_good: float
    phrases_bad: float
    phrases_neutral: float
    negated: float
    hedged: float
    question: float
    figures: float
    percent: float
    loss: float
    profit: float
    length: float
    """log of 1 + the number of tokens."""

    def vector(self) -> list[float]:
        """Give the features of the head: the counts, bounded, and how they join."""
        counts = [min(3.0, getattr(self, field.name)) for field in fields(self)]
        net = self.net()
        return [
            *counts,
            math.tanh(net),
            float(net > 0.5),
            float(net < -0.5),
            float(abs(net) <= 0.5),
            float(self.good() == 0 and self.bad() == 0),
            math.tanh(self.good()),
            math.tanh(self.bad()),
            float(net > 1.5),
            float(net < -1.5),
        ]

    def good(self) -> float:
        """Sum what speaks for good news; a movement or a comparison counts more than a word."""
        return (
            1.2 * self.moved_good
            + 0.6 * self.bare_up
            + 1.5 * self.compared_better
            + 0.6 * self.words_good
            + 1.3 * self.phrases_good
        )

    def bad(self) -> float:
        """Sum what speaks for bad news."""
        return (
            1.2 * self.moved_bad
            + 0.6 * self.bare_down
            + 1.5 * self.compared_worse
            + 0.6 * self.words_bad
            + 1.3 * self.phrases_bad
        )

    def net(self) -> float:
        """Good less bad; neutral phrases weigh on it."""
        return (self.good() - self.bad()) / (1.0 + 0.5 * self.phrases_neutral)


FEATURES: Final = len(fields(Signals)) + 9


@dataclass(slots=True)
class _Counts:
    good: float = 0.0
    bad: float = 0.0
    up: float = 0.0
    down: float = 0.0

    def add(self, sign: int, polarity: int | None, weight: float) -> None:
        if polarity is None:
            if sign > 0:
                self.up += weight
            else:
                self.down += weight
        elif sign * polarity > 0:
            self.good += weight
        else:
            self.bad += weight


def signals(text: str) -> Signals:
    """Read a text by rule."""
    lower = plain(text).lower()
    simple = simplified(text)
    words = tokens(simple)
    lex = lexicon()
    moved, used, negated = _movements(words, lex)
    compared = comparisons(simple)
    told = bool(compared) or moved.good + moved.bad > 0
    good = bad = 0.0
    for index, word in enumerate(words):
        polarity = lex.words.get(word, 0)
        if polarity == 0 or index in used or (told and word in _LOSSES):
            continue
        if word in lex.reversers and _turns(words, index, lex):
            continue
        if _reversed(words, index, lex) or _undone(words, index, lex):
            polarity, weight = -polarity, 1.5
        elif _negated(words, index, lex):
            negated += 1
            polarity, weight = -polarity, 0.5
        else:
            weight = 1.0
        if polarity > 0:
            good += weight
        else:
            bad += weight
    return Signals(
        moved_good=moved.good,
        moved_bad=moved.bad,
        bare_up=moved.up,
        bare_down=moved.down,
        compared_better=float(sum(c.sign > 0 for c in compared)),
        compared_worse=float(sum(c.sign < 0 for c in compared)),
        change=sum(c.change for c in compared),
        words_good=good,
        words_bad=bad,
        phrases_good=float(len(lex.positive.findall(lower))),
        phrases_bad=float(len(lex.negative.findall(lower))),
        phrases_neutral=float(len(lex.neutral.findall(lower))),
        negated=negated,
        hedged=float(sum(word in lex.hedges for word in words)),
        question=float("?" in text),
        figures=float(sum(_FIGURE.search(word) is not None for word in words)),
        percent=float("%" in text or "percent" in lower or "per cent" in lower),
        loss=float(sum(word in ("loss", "losses") for word in words)),
        profit=float(sum(word in ("profit", "profits", "earnings") for word in words)),
        length=math.log1p(len(words)),
    )


def _movements(words: list[str], lex: Lexicon) -> tuple[_Counts, set[int], float]:
    """Count movements; give also the tokens that they used up, and how many were negated."""
    counts, used, negated = _Counts(), set[int](), 0.0
    for index, word in enumerate(words):
        if index in used or (word in lex.reversers and _turns(words, index, lex)):
            continue
        sign, polarity = _movement(words, index, lex)
        if sign == 0:
            continue
        used.add(index)
        weight = 1.0
        if _negated(words, index, lex):
            negated += 1
            sign, weight = -sign, 0.5
        counts.add(sign, polarity, weight)
        following = words[index + 1] if index + 1 < len(words) else ""
        if following in lex.adverbs:
            used.add(index + 1)
    return counts, used, negated


def _movement(words: list[str], index: int, lex: Lexicon) -> tuple[int, int | None]:
    """Give a token's direction (0: it is none) and its object's polarity, where it has one."""
    word = words[index]
    if word in lex.adjectives and not _compares(words, index):
        after = _first(words, index + 1, 3, lex)
        reach = BEFORE if index and words[index - 1] in _BE else 6
        return lex.adjectives[word], after or _nearest(words, index, lex, reach)
    if word in lex.nouns and (index + 1 < len(words) and words[index + 1] in _LINK):
        after = _first(words, index + 2, AFTER, lex)
        return lex.nouns[word], after if after is not None else _nearest(words, index, lex)
    if word in lex.transitive:
        after = _first(words, index + 1, 4, lex)
        if after is not None:
            return lex.transitive[word], after
    if word in lex.verbs:
        before = _nearest(words, index, lex)
        found = before if before is not None else _first(words, index + 1, 3, lex)
        return lex.verbs[word], 1 if found is None and word in lex.shares else found
    if word in lex.transitive:
        return lex.transitive[word], None
    if word in lex.nouns:
        before = _nearest(words, index, lex, reach=3)
        return (lex.nouns[word], before) if before is not None else (0, None)
    if word in lex.adverbs:
        follows = words[index + 1] if index + 1 < len(words) else ""
        said = index > 0 and words[index - 1] in _BE
        if said or follows in ("from", "by", "on", "in", "for", "at") or _FIGURE.match(follows):
            return (1 if word == "up" else -1), _nearest(words, index, lex)
    return 0, None


_ENDS: Final = frozenset(
    {",", ":", "to", "from", "by", "as", "after", "on", "amid", "over", "with", "at", "for"}
    | {"despite", "due", "because", "while", "but"}
)
"""What ends the phrase that a movement's object stands in."""
_LOSSES: Final = frozenset({"loss", "losses"})


def _turns(words: list[str], index: int, lex: Lexicon) -> bool:
    """Tell whether a word such as "drops" or "halts" turns a polar word right after it.

    A thing that moves in between is a movement's object: "drops forecast" turns nothing.
    """
    for word in words[index + 1 : index + 5]:
        if (
            word in _STOP
            or word in (",", "as", "after", "on", "amid", "by", "to", "from")
            or word in lex.objects
        ):
            return False
        if lex.words.get(word, 0) != 0 and word not in lex.reversers:
            return True
    return False


def _undone(words: list[str], index: int, lex: Lexicon) -> bool:
    """Tell whether a word right after undoes this one: "strike at the port averted"."""
    for word in words[index + 1 : index + 5]:
        if word in _STOP or word == "," or word in lex.objects:
            return False
        if word in lex.undoers:
            return True
    return False


def _reversed(words: list[str], index: int, lex: Lexicon) -> bool:
    """Tell whether a word before turns this one."""
    return any(
        words[back] in lex.reversers and _turns(words[: index + 1], back, lex)
        for back in range(max(0, index - 4), index)
    )


_BE: Final = frozenset(
    {
        "is",
        "are",
        "was",
        "were",
        "be",
        "remained",
        "remains",
        "looks",
        "proved",
        "ended",
        "closed",
        "end",
        "close",
        "finish",
        "finished",
        "open",
        "opened",
        "trade",
        "traded",
        "trading",
    }
)


def _compares(words: list[str], index: int) -> bool:
    """Tell "higher than last year" after a verb from an adjective before its noun: never both."""
    return words[index] in ("more", "less") and words[index + 1 : index + 2] == ["than"]


def _nearest(words: list[str], index: int, lex: Lexicon, reach: int = BEFORE) -> int | None:
    """Look backward for an object, within the sentence."""
    for word in reversed(words[max(0, index - reach) : index]):
        if word in _STOP:
            return None
        if word in lex.objects:
            return lex.objects[word]
    return None


def _first(words: list[str], start: int, reach: int, lex: Lexicon) -> int | None:
    """Look forward for an object; a mark or a figure's preposition ends the phrase."""
    for word in words[start : start + reach]:
        if word in _STOP or word in _ENDS:
            return None
        if word in lex.objects:
            return lex.objects[word]
    return None


def _negated(words: list[str], index: int, lex: Lexicon) -> bool:
    for back in range(1, 4):
        if index - back < 0 or words[index - back] in _STOP or words[index - back] == ",":
            return False
        if words[index - back] in lex.negators or words[index - back].endswith("n't"):
            return True
    return False
