"""Nasdaq's earnings calendar in a box."""

from starlette.routing import BaseRoute

from relentless.sandbox.world import World


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/nasdaq``."""
    return []
