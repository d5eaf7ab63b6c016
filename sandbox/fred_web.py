"""FRED's release calendar, a page of its site, in a box."""

from starlette.routing import BaseRoute

from relentless.sandbox.world import World


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/fred_web``."""
    return []
