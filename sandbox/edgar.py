"""EDGAR in a box: data.sec.gov and www.sec.gov."""

from starlette.routing import BaseRoute

from relentless.sandbox.world import World


def data_routes(world: World) -> list[BaseRoute]:
    """Give the routes of data.sec.gov, under ``/sec``."""
    return []


def archive_routes(world: World) -> list[BaseRoute]:
    """Give the routes of www.sec.gov, under ``/sec_archive``."""
    return []
