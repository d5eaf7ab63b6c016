"""Cboe's delayed option chains in a box."""

from starlette.routing import BaseRoute

from relentless.sandbox.world import World


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/cboe``."""
    return []
