"""FRED's release calendar, a page of its site, in a box: HTML inside JSON.

The markup is the real page's as far as a reader needs it: a heading for each day, its releases in
the order of their times, a time written once and blank below, "N/A" where none is stated, a check
mark where data has come. Times are US Central. Without both ``vs`` and ``ve`` the answer is 400;
sorting by name, filtering by release and further pages are not in the box.
"""

import html
import json
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Origin
from relentless.sandbox import schedule
from relentless.sandbox.fred_releases import NOTE, calendar
from relentless.sandbox.world import NOTE_HEADER, ORIGIN_HEADER, World

CENTRAL: Final = ZoneInfo("America/Chicago")
MAX_DAYS: Final = 62

_PAGE: Final = """    <div>
    <table class="table table-condensed table-standard-theme">
        <thead>
            <tr><th nowrap valign="bottom" align="center"></th>
            <th valign="bottom" style="text-align : right">Sort By: <strong>Date</strong></th></tr>
        </thead>
        <tbody>
{rows}        </tbody>
    </table>
    </div>
    <table border="0" cellpadding="0" cellspacing="0" width="100%" bgcolor="#ffffff">
        <tr>
        <td align="right">
            Releases {first} - {count} of {count}&nbsp;&nbsp;&nbsp;
        </td>
        </tr>
    </table>
"""
_HEADING: Final = """<tr class="odd">
    <td text-align="left" colspan="2">
        <span style="font-weight: bold;">{day}</span> \
<span style="float: right; font-weight: bold;">Updated</span>    </td>
</tr>
"""
_ROW: Final = """    <tr>
    <td nowrap style="width:5%; text-align:right">
          {at}      </td>
    <td text-align="left">
        <a href="/release?rid={number}">{name}</a>{mark}
    </td>
    </tr>
"""
_MARK: Final = '<i class="fa fa-check fa-lg" style="float: right; color:#1d9d74"></i>'


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/fred_web``."""

    async def endpoint(request: Request) -> Response:
        try:
            first = date.fromisoformat(request.query_params["vs"])
            last = date.fromisoformat(request.query_params["ve"])
        except (KeyError, ValueError):
            return Response("Bad Request", 400)
        if not timedelta() <= last - first <= timedelta(days=MAX_DAYS):
            return Response("Bad Request", 400)
        body = json.dumps(_body(world, first, last), separators=(",", ":")).replace("/", "\\/")
        headers = {ORIGIN_HEADER: Origin.SYNTHETIC.value, NOTE_HEADER: NOTE}
        return Response(body, media_type="application/json", headers=headers)

    return [Route("/releases/calendar", endpoint)]


def _body(world: World, first: date, last: date) -> dict[str, str]:
    listed = calendar(world, first, last, planned=True)
    out = set(calendar(world, first, last, planned=False))
    rows = ""
    for day, releases in groupby(listed, key=lambda row: row[0]):
        rows += _HEADING.format(day=f"{day:%A %B %d, %Y}")
        above = None
        for at, number in sorted((_stated(number), number) for _, number in releases):
            text = _central(day, at)
            rows += _ROW.format(
                at="" if text == above else text,
                number=number,
                name=html.escape(schedule.name_of(number) or "", quote=True),
                mark=_MARK if (day, number) in out else "",
            )
            above = text
    count = len(listed)
    return {"pager": _PAGE.format(rows=rows, first=min(1, count), count=count), "ptic": f"{count}"}


def _stated(number: int) -> time:
    """Give the time that the page states; the day's end stands for none."""
    at = schedule.time_of(number)
    return schedule.END_OF_DAY if number == 101 else at


def _central(day: date, at: time) -> str:
    """Write a time as the page does: Central, "9:00 am"."""
    if at == schedule.END_OF_DAY:
        return "N/A"
    local = datetime.combine(day, at, EASTERN).astimezone(CENTRAL)
    return f"{local.hour % 12 or 12}:{local:%M} {'am' if local.hour < 12 else 'pm'}"
