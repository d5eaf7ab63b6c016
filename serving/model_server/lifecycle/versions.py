"""Which versions of a model should serve, and what to do next about it. Pure but for ``scan``.

The rules are TensorFlow Serving's: integer folder names are versions, a policy picks those that are
aspired to, and the availability-preserving policy never unloads the last good version for one
that does not serve yet.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal, NamedTuple

MAX_VERSION = (1 << 63) - 1
_NUMBER = re.compile(r"[+-]?[0-9]+")


class State(IntEnum):
    """A version's life; the numbers are ``ModelVersionStatus.State``'s."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class Policy:
    """Which of the versions found are aspired to."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    """For ``latest``: that many of the highest."""
    versions: frozenset[int] = frozenset()
    """For ``specific``."""

    def aspired(self, found: Collection[int]) -> frozenset[int]:
        """Pick from the versions found."""
        if self.kind == "all":
            return frozenset(found)
        if self.kind == "specific":
            return self.versions & frozenset(found)
        return frozenset(sorted(found, reverse=True)[: self.count])


class Standing(NamedTuple):
    """Where one version stands."""

    aspired: bool
    state: State


class Action(NamedTuple):
    """The next step for one model; ``replace`` loads a version again from another folder."""

    kind: Literal["load", "unload", "replace"]
    version: int


def scan(base: Path) -> dict[int, Path] | None:
    """Give the version folders under a base path by number, or None where it does not exist.

    Other names are ignored, so a version can be written as ``.tmp-3`` and renamed when complete.
    """
    try:
        return {
            int(child.name): child
            for child in sorted(base.iterdir())
            if _NUMBER.fullmatch(child.name)
            and -MAX_VERSION <= int(child.name) <= MAX_VERSION
            and child.is_dir()
        }
    except OSError:
        return None


def next_action(versions: Mapping[int, Standing]) -> Action | None:
    """Give the next step: unload what may go, else load the highest new aspired version."""
    ready = {v for v, s in versions.items() if s.state is State.AVAILABLE}
    aspired = {v for v, s in versions.items() if s.aspired}
    leaving = ready - aspired
    if leaving and (not aspired or aspired & ready or len(leaving) > 1):
        return Action("unload", min(leaving))
    fresh = {v for v in aspired if versions[v].state is State.START}
    if fresh:
        return Action("load", max(fresh))
    return None
