"""The news feeds in a box: CNBC, WSJ, FT, Bloomberg, and Reuters by Google News."""

from starlette.routing import BaseRoute

from relentless.sandbox.world import World

PUBLISHERS = ("cnbc", "wsj", "ft", "bloomberg", "reuters")


def routes(world: World, publisher: str) -> list[BaseRoute]:
    """Give the routes of one publisher's feeds, under ``/`` and its name."""
    return []
