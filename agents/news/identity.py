"""Whether two copies are one story: by address, by headline, or by most of its words. Pure.

Two headlines tell one story if they have the same ``MIN_SAME`` words or more (fewer name a column:
"Morning Bid"), or where all of this holds (measured on labelled pairs of recorded feeds:
docs/agents/news.md):

- at least ``MIN_SHARED`` words are in both, and they are more than half of the shorter one's;
- rapidfuzz's ``token_set_ratio`` of their words is at least ``MIN_RATIO``;
- nothing sets them apart: other numbers, other names, opposite directions, or another subject in
  front.

Words are lower case without endings of number and tense, and without the commonest ones.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from rapidfuzz import fuzz

MIN_SAME: Final = 3
MIN_SHARED: Final = 4
MIN_RATIO: Final = 65.0

_TRACKING: Final = re.compile(
    r"^(utm_.*|at_.*|fbclid|gclid|dclid|msclkid|igshid|mc_[ce]id|cmpid|cmp|cid|ncid|mod|ref|"
    r"ref_src|referrer|src|source|sref|smid|smtyp|partner|partnerid|ito|ftag|oc|feed|taid|"
    r"guccounter|guce_.*|__source|yptr|emc|campaign_id|reflink|st|srnd|leadsource|sharetype)$"
)
_TARGETS: Final = {"url", "q", "u", "to", "target", "dest", "destination", "redirect", "link"}
_REDIRECTORS: Final = re.compile(
    r"(^|\.)(google\.[a-z.]+|facebook\.com|bing\.com|t\.umblr\.com|yahoo\.com|feedproxy\.com|"
    r"linkedin\.com|doubleclick\.net|outlook\.com)$"
)
_STOP: Final = frozenset((
    "a", "about", "after", "all", "amid", "an", "and", "any", "are", "as", "at", "be", "been",
    "but", "by", "can", "could", "did", "do", "does", "for", "from", "had", "has", "have", "he",
    "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "may", "might",
    "more", "most", "new", "no", "not", "now", "of", "on", "or", "our", "out", "over", "own",
    "report", "reports", "s", "said", "say", "says", "she", "should", "so", "some", "still",
    "t", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "to", "too", "us", "was", "we", "were", "what", "when", "where", "which", "while",
    "who", "why", "will", "with", "would", "you", "your", "against", "shares", "share", "stock",
    "stocks", "company", "corp", "inc", "co", "before", "between", "during", "until", "latest",
))  # fmt: skip
_RISES: Final = (
    "rise", "gain", "jump", "surge", "climb", "rally", "soar", "beat", "raise", "top",
    "upgrade", "higher", "rebound", "advance", "grow", "boost", "win", "increase", "lift",
    "strong", "up",
)  # fmt: skip
_FALLS: Final = (
    "fall", "drop", "slip", "slide", "sink", "tumble", "plunge", "miss", "cut", "downgrade",
    "lower", "decline", "retreat", "shrink", "weigh", "lose", "decrease", "slump", "weak",
    "down",
)  # fmt: skip
_IRREGULAR: Final = {
    "fell": "fall", "fallen": "fall", "rose": "rise", "risen": "rise", "sank": "sink",
    "won": "win", "lost": "lose", "grew": "grow", "slid": "slide", "losses": "loss",
    "cutting": "cut", "cuts": "cut", "dropped": "drop", "slipped": "slip", "topped": "top",
    "stronger": "strong", "weaker": "weak", "misses": "miss",
    "beaten": "beat", "sued": "sue", "sues": "sue", "shrank": "shrink",
}  # fmt: skip
_WORD: Final = re.compile(r"[^\W_]+(?:[.,][0-9]+)*")
_POSSESSIVE: Final = re.compile(r"(?<=\w)['\u2019]s\b|(?<=s)['\u2019](?=\s|$)")


@dataclass(frozen=True, slots=True)
class Words:
    """What is compared of a headline."""

    order: tuple[str, ...]
    """The words as they come."""
    bag: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    """Those written like a name: in capitals, or with one inside a headline that has few."""
    direction: int
    """1 where it only names rises, -1 only falls, else 0."""
    text: str


@lru_cache(maxsize=16_384)
def words(headline: str) -> Words:
    """Give the words of a headline."""
    text = _POSSESSIVE.sub("", headline.lower().replace("u.s.", "usa"))
    order = tuple(dict.fromkeys(w for t in _WORD.findall(text) if (w := _stem(t)) not in _STOP))
    names = frozenset(map(_stem, _names(_POSSESSIVE.sub("", headline))))
    bag = frozenset(order)
    up, down = bool(bag & _UP), bool(bag & _DOWN)
    numbers = frozenset(w for w in bag if w[0].isdigit())
    return Words(order, bag, numbers, names & bag, up - down, " ".join(order))


def _names(headline: str) -> list[str]:
    """Give the words that are written like names; the first word of a part says nothing."""
    found = [(m[0], m.start()) for m in _WORD.finditer(headline)]
    inside = [
        word
        for (before, at), (word, start) in pairwise(found)
        if word[0].isupper() and not set(".:;!?") & set(headline[at + len(before) : start])
    ]
    capitals = [word for word, _ in found if word.isupper() and len(word) > 1]
    few = 2 * len(inside) < len(found)
    return [word.lower() for word in capitals + (inside if few else [])]


def same_story(one: Words, other: Words) -> float:
    """Give how alike two headlines are, in (0, 100], where they tell one story; else 0."""
    if one.bag == other.bag and len(one.bag) >= MIN_SAME:
        return 100.0 if one.order == other.order or len(one.bag) >= MIN_SHARED else 0.0
    shared = one.bag & other.bag
    shorter = min(len(one.bag), len(other.bag))
    if len(shared) < MIN_SHARED or 2 * len(shared) <= shorter or _apart(one, other):
        return 0.0
    ratio = float(fuzz.token_set_ratio(one.text, other.text))
    return min(ratio, 99.0) if ratio >= MIN_RATIO else 0.0


def _apart(one: Words, other: Words) -> bool:
    if one.direction * other.direction < 0:
        return True
    if one.numbers - other.numbers and other.numbers - one.numbers:
        return True
    if one.names - other.bag and other.names - one.bag:
        return True
    return one.order[0] not in other.bag and other.order[0] not in one.bag


def _stem(word: str) -> str:
    """Take off the ending of number or tense, where enough is left."""
    if word in _STOP or word[0].isdigit():
        return word
    word = _IRREGULAR.get(word, word)
    for ending, least in (("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    return word.removesuffix("e") if len(word) > 3 else word


_UP: Final = frozenset(map(_stem, _RISES))
_DOWN: Final = frozenset(map(_stem, _FALLS))


def address(url: str) -> str:
    """Give a story's address without what only tells where a reader came from.

    A redirector's target stands in its place where the address holds it. "" where it is no web
    address.
    """
    for _ in range(3):
        try:
            parts = urlsplit(url.strip())
            host, query = (parts.hostname or "").lower(), parse_qsl(parts.query)
        except ValueError:
            return ""
        if parts.scheme not in ("http", "https") or not host:
            return ""
        target = _target(host, parts.path, query)
        if target is None:
            break
        url = target
    kept = sorted((k, v) for k, v in query if not _TRACKING.match(k.lower()))
    path = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{host}{path}" + (f"?{urlencode(kept)}" if kept else "")
    return shown if len(shown) <= 1_000 and shown.isprintable() else ""


def address_key(url: str) -> str:
    """Give what is compared of an address: no scheme, no "www", no page made for telephones."""
    shown = address(url).partition("://")[2]
    host, slash, rest = shown.partition("/")
    for prefix in ("www.", "m.", "amp.", "mobile."):
        host = host.removeprefix(prefix)
    return (host + slash + rest).removesuffix("/amp").removesuffix(".amp") if slash else ""


def _target(host: str, path: str, query: list[tuple[str, str]]) -> str | None:
    if not _REDIRECTORS.search(host):
        return None
    for name, value in query:
        if name.lower() in _TARGETS and value.startswith(("http://", "https://")):
            return value
    for marker in ("/RU=", "/rss/articles/", "/articles/", "/read/"):
        _, found, rest = path.partition(marker)
        if found and marker == "/RU=":
            return unquote(rest.split("/RK=")[0])
        if found and host == "news.google.com":
            return _inside(rest.split("/")[0])
    return None


def _inside(token: str) -> str | None:
    """Give the address inside an older Google News token; newer ones are opaque."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    found = re.search(rb"https?://[\x21-\x7e]{8,}", raw)
    return found[0].decode("ascii") if found else None
