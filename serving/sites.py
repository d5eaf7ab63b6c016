"""Which server is asked next: the health of each, and the order of the sites. Pure, no I/O.

A server that fails is set aside; a prober asks it again with growing pauses and brings it back
after good answers in a row. A site is left when none of its servers is up, and taken again when at
least half of them are: so a site that comes back one server at a time is not drowned, and traffic
does not swing to and fro. ``balanced.py`` does the asking, ``prober.py`` the probing.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
JITTER = 0.2
GOOD_PROBES = 2
"""In a row, before a server is asked by callers again."""
SETTLED = 10
"""Good answers in a row after which the next failure counts as a first one."""
LACKING_S = 5.0
"""How long a server is not asked for a version that it does not serve."""


@dataclass(slots=True, eq=False)
class Endpoint(Generic[T]):
    """One server, or the engine in this process, and how it does."""

    address: str
    model: T
    local: bool = False
    """It costs no network: no deadline and no budget."""
    site: int = 0
    up: bool = True
    inside: int = 0
    answered: int = 0
    failed: int = 0
    level: int = 0
    run: int = 0
    """Good answers, or good probes, in a row."""
    ask_at: float = 0.0
    picked: int = 0
    lacks: dict[int, float] = field(default_factory=dict)
    """Until when it is not asked for a version."""
    sound: set[int] = field(default_factory=set)
    """Versions that it predicted well with since it is up."""


@dataclass(slots=True, eq=False)
class Site(Generic[T]):
    """Servers that are one choice, spread evenly."""

    name: str
    endpoints: Sequence[Endpoint[T]]
    left: bool = False


class Sites(Generic[T]):
    """Sites in the order of preference. Safe for concurrent use.

    ``changed`` is called, outside the lock, when a server was set aside.
    """

    def __init__(
        self,
        sites: Sequence[Site[T]],
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[], None] = lambda: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.sites = list(sites)
        for number, site in enumerate(self.sites):
            for endpoint in site.endpoints:
                endpoint.site = number
        self.failovers = 0
        """How often the first site was left."""
        self.returns = 0
        """How often it was taken again."""
        self._clock = clock
        self._changed = changed
        self._draw = draw
        self._lock = threading.Lock()
        self._count = 0

    def take(
        self, tried: Collection[Endpoint[T]], version: int | None = None
    ) -> Endpoint[T] | None:
        """Give the server to be asked, or None: every one was tried. Pair it with ``give``.

        The least busy one of the first site that is not left; where nothing is up and nothing was
        tried, the one whose pause ends first, so that a lone server is never out of reach.
        """
        with self._lock:
            now = self._clock()
            for site in self.sites:
                ready = [
                    e
                    for e in site.endpoints
                    if e.up and e not in tried and not self._lacks(e, version, now)
                ]
                if ready and not site.left:
                    return self._pick(min(ready, key=lambda e: (e.inside, e.picked)))
            if not tried:
                every = [e for site in self.sites for e in site.endpoints]
                return self._pick(min(every, key=lambda e: (not e.up, e.ask_at)))
            return None

    def others(self, tried: Collection[Endpoint[T]], version: int | None = None) -> bool:
        """Say whether another server could still be asked."""
        with self._lock:
            now = self._clock()
            return any(
                e.up and e not in tried and not self._lacks(e, version, now)
                for site in self.sites
                if not site.left
                for e in site.endpoints
            )

    def give(self, endpoint: Endpoint[T], good: bool | None) -> bool:
        """Take back a server with how it did; say whether that set it aside.

        None: it refused the request, or was not asked, which is no failure.
        """
        with self._lock:
            endpoint.inside -= 1
            if good is None:
                return False
            if good:
                endpoint.answered += 1
                endpoint.run += endpoint.up
                if endpoint.run >= SETTLED:
                    endpoint.level = 0
                return False
            endpoint.failed += 1
            if endpoint.local or not endpoint.up:
                return False
            endpoint.up, endpoint.run = False, 0
            endpoint.sound.clear()
            self._pause(endpoint)
            self._weigh(endpoint.site)
        self._changed()
        return True

    def lacking(self, endpoint: Endpoint[T], version: int) -> None:
        """Do not ask a server for a version for a while."""
        with self._lock:
            endpoint.lacks[version] = self._clock() + LACKING_S

    def proved(self, endpoint: Endpoint[T], version: int) -> None:
        """Note that a server predicted well with a version."""
        with self._lock:
            endpoint.sound.add(version)

    def nonsense(self, endpoint: Endpoint[T], version: int | None) -> bool:
        """Note an answer that is none, and say whether that is the version's fault alone.

        It is, where the server predicts well with another version; then this one is not asked of
        it for a while.
        """
        with self._lock:
            if version is None:
                return False
            endpoint.sound.discard(version)
            if endpoint.sound:
                endpoint.lacks[version] = self._clock() + LACKING_S
            return bool(endpoint.sound)

    def due(self) -> tuple[list[Endpoint[T]], float | None]:
        """Give the servers to be probed now, and the seconds until the next; None: all are up."""
        with self._lock:
            now = self._clock()
            aside = [e for site in self.sites for e in site.endpoints if not e.up]
            if not aside:
                return [], None
            ready = [e for e in aside if e.ask_at <= now]
            return ready, max(min(e.ask_at for e in aside) - now, 0.0)

    def probed(self, endpoint: Endpoint[T], good: bool) -> bool:
        """Note how a server that was set aside answered a probe; say whether it is up again."""
        with self._lock:
            if endpoint.up:
                return False
            if not good:
                endpoint.run = 0
                self._pause(endpoint)
                return False
            endpoint.run += 1
            endpoint.ask_at = self._clock() + FIRST_PAUSE_S
            if endpoint.run >= GOOD_PROBES:
                endpoint.up, endpoint.run = True, 0
                endpoint.lacks.clear()
                self._weigh(endpoint.site)
            return endpoint.up

    @property
    def current(self) -> Site[T]:
        """The site that is asked now: the first that is not left."""
        return next((site for site in self.sites if not site.left), self.sites[-1])

    def _lacks(self, endpoint: Endpoint[T], version: int | None, now: float) -> bool:
        return version is not None and endpoint.lacks.get(version, 0.0) > now

    def _pick(self, endpoint: Endpoint[T]) -> Endpoint[T]:
        self._count += 1
        endpoint.picked = self._count
        endpoint.inside += 1
        return endpoint

    def _pause(self, endpoint: Endpoint[T]) -> None:
        pause = min(FIRST_PAUSE_S * 2.0**endpoint.level, LONGEST_PAUSE_S)
        endpoint.level += pause < LONGEST_PAUSE_S
        endpoint.ask_at = self._clock() + pause * (1 + JITTER * (2 * self._draw() - 1))

    def _weigh(self, number: int) -> None:
        site = self.sites[number]
        up = sum(endpoint.up for endpoint in site.endpoints)
        was = site.left
        site.left = up == 0 if not was else up < math.ceil(len(site.endpoints) / 2)
        if number == 0:
            self.failovers += int(site.left and not was)
            self.returns += int(was and not site.left)
