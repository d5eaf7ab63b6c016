"""Stories out of copies: which items are one story, its revisions, and what was known when. Pure.

The earliest copy is the story: its id, its text and its time. Later copies, of any publisher and
under any id, are counted. A copy that says something else under its own id is an edited one; where
it is the story's own copy, that is a revision. ``Remembered`` carries a story over its runs, so
that one which has left its feed still claims a later copy, and keeps its id.

Items are taken in the order of their publication, so the order in which sources answer makes no
difference. Copies of different origins (live, synthetic) are never one story.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from relentless.agents.news.engines.companies import mentions
from relentless.agents.news.identity import address, address_key, same_story, words
from relentless.agents.news.items import Item
from relentless.agents.news.reading import Story
from relentless.proto.contexts import Origin

WINDOW: Final = timedelta(hours=36)
"""An older item is left out; a story's messages end so long after its publication; copies within
it of each other can be one story."""
REMEMBERED: Final = 2 * WINDOW
"""The oldest story that an item inside the window can be a copy of."""
EDIT_AFTER: Final = timedelta(seconds=60)
"""An ``updated_at`` so long after the publication is an edit: Alpaca's differs by a second on
articles that nobody touched."""
RARE: Final = 6
"""How many of a headline's rarest words look for candidates."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One wording of a story's own copy."""

    number: int
    known_at: datetime
    digest: str
    seen_at: datetime
    """The moment of the run that first read it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy that was seen."""

    publisher: str
    known_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Remembered:
    """A story as it is carried from run to run."""

    story_id: str
    origin: Origin
    lead: str
    """Key of its own copy, the earliest."""
    item: Item
    """Its own copy as it was read last."""
    headlines: tuple[str, ...]
    """Its own wordings, for comparison."""
    copies: dict[str, Copy]
    addresses: tuple[str, ...]
    revisions: tuple[Revision, ...]
    told: dict[str, datetime] = field(default_factory=dict)
    """The assets that messages were given about, and as of when first."""

    def as_of(self, moment: datetime) -> "Remembered | None":
        """Give what was remembered at a moment; None where the story was unknown.

        A shipped day begins again on the folder that its first run left.
        """
        revisions = tuple(r for r in self.revisions if r.seen_at <= moment)
        if not revisions or self.revisions != revisions:
            return None  # the text of that moment is gone: it is read again, under the same id
        copies = {key: copy for key, copy in self.copies.items() if copy.seen_at <= moment}
        told = {asset: at for asset, at in self.told.items() if at <= moment}
        return replace(self, copies=copies, told=told)


@dataclass(frozen=True, slots=True)
class Gathered:
    """A story of which a copy was read in this run."""

    story: Story
    url: str
    body: str
    """SHA-256 of the answer that holds its own copy."""
    publishers: tuple[str, ...]
    copies: int
    known_at: datetime
    """When all that is said of it was known: its wording and the newest of the copies."""


def usable(items: Iterable[Item], as_of: datetime) -> tuple[list[Item], int]:
    """Give the items of the window that were known, and how many known wordings are gone.

    Of one copy in several answers the newest wording known counts. A copy published by ``as_of``
    and edited later is left out: how it read then cannot be known any more.
    """
    kept: dict[str, Item] = {}
    gone: set[str] = set()
    for item in items:
        if not as_of - WINDOW < item.published_at <= as_of:
            continue
        key = copy_key(item)
        if item.known_at > as_of:
            gone.add(key)
        elif key not in kept or _newer(item) > _newer(kept[key]):
            kept[key] = item
    return list(kept.values()), len(gone - kept.keys())


def copy_key(item: Item) -> str:
    """Give the identity of a copy: its publisher's own id, else its address, else its headline."""
    own = item.guid or address_key(item.url) or " ".join(item.headline.lower().split())
    said = f"{item.origin}\n{item.publisher}\n{own}"
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def gather(
    items: Sequence[Item], remembered: Iterable[Remembered], as_of: datetime
) -> tuple[list[Gathered], list[Remembered]]:
    """Put copies to stories.

    Args:
        items: what :func:`usable` gave.
        remembered: what the run before gave, as of this moment.
        as_of: the run's moment.

    Returns:
        The stories of which a copy is among ``items``, the newest first, and all that is to be
        remembered.
    """
    shelf = _Shelf(items, remembered, as_of)
    touched: dict[str, None] = {}
    for key, item in sorted(((copy_key(i), i) for i in items), key=_order):
        touched[shelf.place(key, item)] = None
    stories = [shelf.stories[story_id] for story_id in touched]
    told = [_gathered(s, as_of) for s in stories if s.item.published_at > as_of - WINDOW]
    told.sort(key=lambda g: (g.known_at, g.story.story_id), reverse=True)
    return told, sorted(shelf.stories.values(), key=lambda s: s.story_id)


class _Shelf:
    """The stories known so far, and the ways to find one."""

    def __init__(
        self, items: Sequence[Item], remembered: Iterable[Remembered], as_of: datetime
    ) -> None:
        self.as_of = as_of
        self.stories: dict[str, Remembered] = {}
        self._by_key: dict[str, str] = {}
        self._by_address: dict[tuple[Origin, str], str] = {}
        self._by_word: dict[tuple[Origin, str], list[tuple[str, str]]] = defaultdict(list)
        oldest = as_of - REMEMBERED
        kept = [s for s in remembered if s.item.published_at > oldest]
        self._common = Counter(
            word
            for headline in [*(i.headline for i in items), *(h for s in kept for h in s.headlines)]
            for word in words(headline).bag
        )
        for story in sorted(kept, key=lambda s: (s.item.published_at, s.story_id)):
            self._keep(story, story.headlines)
            self._by_key |= dict.fromkeys(story.copies, story.story_id)
            for known in story.addresses:
                self._by_address.setdefault((story.origin, known), story.story_id)

    def place(self, key: str, item: Item) -> str:
        """Put a copy to its story, or begin one; give the story's id."""
        found = self._by_key.get(key) or self._find(item)
        if found is None:
            found = self._begin(key, item)
        story = self.stories[found]
        if key == story.lead:
            story = self._revised(story, item)
        known = address_key(item.url)
        story = replace(
            story,
            copies={key: Copy(item.publisher, item.published_at, self.as_of)} | story.copies,
            addresses=(
                story.addresses
                if not known or known in story.addresses
                else (*story.addresses, known)[:50]
            ),
        )
        self.stories[found] = story
        self._by_key[key] = found
        if known:
            self._by_address.setdefault((item.origin, known), found)
        return found

    def _find(self, item: Item) -> str | None:
        by_address = self._by_address.get((item.origin, address_key(item.url)))
        if by_address is not None:
            return by_address
        mine = words(item.headline)
        best: tuple[float, float, str] | None = None
        looked: set[tuple[str, str]] = set()
        for word in self._rarest(mine.bag):
            for place in self._by_word.get((item.origin, word), ()):
                if place in looked:
                    continue
                looked.add(place)
                story_id, headline = place
                story = self.stories[story_id]
                if abs(item.published_at - story.item.published_at) > WINDOW:
                    continue
                if _disjoint(frozenset(item.symbols), frozenset(story.item.symbols)):
                    continue
                score = same_story(mine, words(headline))
                if score and _disjoint(_companies(item.headline), _companies(headline)):
                    continue
                rank = (score, -story.item.published_at.timestamp(), story_id)
                if score > 0 and (best is None or rank > best):
                    best = rank
        return best[2] if best else None

    def _rarest(self, bag: frozenset[str]) -> list[str]:
        return sorted(bag, key=lambda word: (self._common[word], word))[:RARE]

    def _begin(self, key: str, item: Item) -> str:
        number = 1 if item.known_at - item.published_at > EDIT_AFTER else 0
        first = Revision(number, item.known_at, _digest(item), self.as_of)
        story = Remembered(
            story_id=f"st-{key[:16]}",
            origin=item.origin,
            lead=key,
            item=item,
            headlines=(item.headline,),
            copies={},
            addresses=(),
            revisions=(first,),
        )
        self._keep(story, story.headlines)
        return story.story_id

    def _revised(self, story: Remembered, item: Item) -> Remembered:
        """Give the story with its own copy as it reads now."""
        last = story.revisions[-1]
        if _digest(item) == last.digest:
            return replace(story, item=replace(story.item, body=item.body))
        # Stated by the copy, or else since it was first read so.
        known_at = item.known_at if item.known_at > last.known_at else self.as_of
        revision = Revision(last.number + 1, known_at, _digest(item), self.as_of)
        new = () if item.headline in story.headlines else (item.headline,)
        edited = replace(
            story,
            item=replace(item, published_at=story.item.published_at),
            headlines=(*story.headlines, *new)[-4:],
            revisions=(*story.revisions, revision)[-20:],
        )
        self._keep(edited, new)
        return edited

    def _keep(self, story: Remembered, headlines: Iterable[str]) -> None:
        self.stories[story.story_id] = story
        for headline in headlines:
            for word in words(headline).bag:
                self._by_word[story.origin, word].append((story.story_id, headline))


def _gathered(story: Remembered, as_of: datetime) -> Gathered:
    item, last = story.item, story.revisions[-1]
    ends = item.published_at + WINDOW
    counted = [copy for copy in story.copies.values() if copy.known_at <= as_of]
    known_at = max([last.known_at, *(copy.known_at for copy in counted if copy.known_at < ends)])
    return Gathered(
        story=Story(
            story_id=story.story_id,
            headline=item.headline,
            summary=item.summary,
            publisher=item.publisher,
            published_at=item.published_at,
            known_at=last.known_at,
            symbols=item.symbols,
            revision=last.number,
            origin=item.origin,
        ),
        url=address(item.url),
        body=item.body,
        publishers=tuple(sorted({copy.publisher for copy in counted})),
        copies=max(len(counted), 1),
        known_at=known_at,
    )


def _order(keyed: tuple[str, Item]) -> tuple[datetime, str, str]:
    key, item = keyed
    return item.published_at, item.publisher, key


def _newer(item: Item) -> tuple[datetime, str, str]:
    return item.known_at, item.headline, item.summary


def _digest(item: Item) -> str:
    said = "\n".join((item.headline, item.summary, ",".join(item.symbols)))
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def _disjoint(one: frozenset[str], other: frozenset[str]) -> bool:
    """Say whether both name something, and nothing in common."""
    return bool(one and other and not one & other)


@lru_cache(maxsize=16_384)
def _companies(headline: str) -> frozenset[str]:
    """Give the companies that a headline names, by the engines' table."""
    return frozenset(mention.ticker for mention in mentions(headline))
