"""Alpaca's option snapshots in a box."""

from starlette.routing import BaseRoute

from relentless.sandbox.world import World


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/alpaca_data``."""
    return []
