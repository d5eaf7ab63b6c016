"""EDGAR in a box: data.sec.gov under ``/sec`` and www.sec.gov under ``/sec_archive``.

Served as of market time, and only what is public by then: filings accepted after 17:30 Eastern
appear at 06:00 of the next business day, a day's index at 22:00 of it. The feed reaches back to the
business day before today's; a company's submissions hold three years, and Forms 4 since the
January before them; an invented one's hold 60 days. Refusals are the real ones: 404 NoSuchKey on
data.sec.gov, 403 AccessDenied for a missing file on www.sec.gov, 403 without a User-Agent, 503
beyond the feed's end.

Not in the box: companyfacts and companyconcept (404), full-text search, the HTML pages of filings,
feeds in another form than Atom, submissions of reporting owners.
"""

import gzip
import json
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Origin
from relentless.sandbox import edgar_views as views
from relentless.sandbox.edgar_filings import Docket
from relentless.sandbox.filers import Company, company, is_business_day, others
from relentless.sandbox.filings import Filed
from relentless.sandbox.world import ORIGIN_HEADER, World

HISTORY_DAYS: Final = 3 * 365
OTHERS_DAYS: Final = 60
"""How far back the submissions of an invented company reach."""
INDEXED: Final = time(22, 0)
"""When a day's index appears."""
COUNTS: Final = (10, 20, 40, 80, 100)
_INDEX: Final = re.compile(r"(form|master)\.(\d{8})\.idx(\.gz)?")
_FULL: Final = re.compile(r"(form|master)\.(idx|gz)")
_CIK_FILE: Final = re.compile(r"CIK(\d{10})(-submissions-001)?\.json")
_TEXT: Final = re.compile(r"(\d{10}-\d{2}-\d{6})(\.txt|-index-headers\.html)")

Handler = Callable[[Request], Response]

_UNDECLARED: Final = (
    "<!DOCTYPE html><html><head><title>SEC.gov | Undeclared Automated Tool</title></head><body>"
    "<h1>Your Request Originates from an Undeclared Automated Tool</h1>"
    "<p>Please declare your traffic by updating your user agent to include company specific "
    "information.</p></body></html>"
)
_BEYOND: Final = (
    "<!DOCTYPE html><html><head><title>SEC.gov | File Unavailable</title></head>"
    "<body><h1>This file is temporarily unavailable</h1></body></html>"
)


def data_routes(world: World) -> list[BaseRoute]:
    """Give the routes of data.sec.gov, under ``/sec``."""
    docket = Docket(world)

    def submissions(request: Request) -> Response:
        name = request.path_params["name"]
        found = _CIK_FILE.fullmatch(name)
        filer = _company(world, int(found[1])) if found else None
        if found is None or filer is None:
            return _no_such_key(f"submissions/{name}")
        filings = _of(world, docket, filer)
        if not found[2]:
            return _json(views.submissions(filer, filings))
        if len(filings) <= views.RECENT:
            return _no_such_key(f"submissions/{name}")
        return _json(views.columns(filings[views.RECENT :]))

    def absent(request: Request) -> Response:
        return _no_such_key(request.path_params["path"])

    return [_route("/submissions/{name}", submissions), _route("/{path:path}", absent)]


def archive_routes(world: World) -> list[BaseRoute]:
    """Give the routes of www.sec.gov, under ``/sec_archive``."""
    archive = _Archive(world)
    index, data = "{year:int}/QTR{quarter:int}/{name}", "/Archives/edgar/data/{cik:int}"
    return [
        _route("/files/company_tickers.json", archive.tickers),
        _route("/cgi-bin/browse-edgar", archive.current),
        _route(f"/Archives/edgar/daily-index/{index}", archive.daily),
        _route(f"/Archives/edgar/full-index/{index}", archive.full),
        _route(data + "/{name}", archive.filing),
        _route(data + "/{folder}/{name}", archive.filing),
        _route("/{path:path}", archive.absent),
    ]


class _Archive:
    """The endpoints of www.sec.gov."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._docket = Docket(world)

    def tickers(self, request: Request) -> Response:
        rows = [made for made in self._docket.companies() if made.ticker]
        body = {
            str(n): {"cik_str": made.cik, "ticker": made.ticker, "title": made.name}
            for n, made in enumerate(rows)
        }
        return _json(body)

    def current(self, request: Request) -> Response:
        """Serve a page of the feed. ``type`` matches the beginning of a form, as the real one."""
        query = request.query_params
        if query.get("action") != "getcurrent" or query.get("output") != "atom":
            return _denied()
        form = query.get("type", "")
        start, count = query.get("start", "0"), query.get("count", "40")
        first = int(start) if start.isdecimal() else 0
        size = int(count) if count.isdecimal() and int(count) in COUNTS else 40
        today = self._world.today()
        since = today - timedelta(days=1)
        while not is_business_day(since):
            since -= timedelta(days=1)
        entries = [
            (filed, party)
            for filed in self._docket.public(since, today)
            if filed.form.startswith(form)
            for party in filed.parties
        ]
        if first and first >= len(entries):
            return Response(_BEYOND, 503, media_type="text/html")
        page = views.feed(entries[first : first + size], self._world.now())
        return _answer(page, "application/atom+xml")

    def daily(self, request: Request) -> Response:
        found = _INDEX.fullmatch(request.path_params["name"])
        day = _date(found[2]) if found else None
        asked = (request.path_params["year"], request.path_params["quarter"])
        if found is None or day is None or not _indexed(self._world, day):
            return _denied()
        if asked != (day.year, (day.month + 2) // 3):
            return _denied()
        filings = _filed_on(self._docket, day)
        return _table(views.index(filings, found[1], day, daily=True), packed=bool(found[3]))

    def full(self, request: Request) -> Response:
        found = _FULL.fullmatch(request.path_params["name"])
        days = _quarter(self._world, request.path_params["year"], request.path_params["quarter"])
        if found is None or not days:
            return _denied()
        filings = [filed for day in days for filed in _filed_on(self._docket, day)]
        body = views.index(filings, found[1], days[-1], daily=False)
        return _table(body, packed=found[2] == "gz")

    def filing(self, request: Request) -> Response:
        found = _TEXT.fullmatch(request.path_params["name"])
        filed = self._docket.find(found[1]) if found else None
        if found is None or filed is None:
            return _denied()
        if request.path_params["cik"] not in {cik for _, cik, _ in filed.parties}:
            return _denied()
        if found[2] == ".txt":
            return _answer(views.submission(filed), "text/plain")
        return _answer(views.headers(filed), "text/html")

    def absent(self, request: Request) -> Response:
        return _denied()


def _route(path: str, handler: Handler) -> Route:
    """Give a route that refuses a client without a name, as the SEC does."""

    async def endpoint(request: Request) -> Response:
        if not request.headers.get("user-agent", "").strip():
            return Response(_UNDECLARED, 403, media_type="text/html")
        return handler(request)

    return Route(path, endpoint)


def _company(world: World, cik: int) -> Company | None:
    own = (made for symbol in world.symbols if (made := company(symbol)))
    return next((c for c in (*own, *others()) if c.cik == cik), None)


def _of(world: World, docket: Docket, filer: Company) -> list[Filed]:
    """Give a company's public filings, the newest first."""
    today = world.today()
    recent = today - timedelta(days=OTHERS_DAYS)
    if filer.ticker in world.symbols:
        found = docket.of(filer, today - timedelta(days=HISTORY_DAYS), today)
        found += docket.forms4_about(filer, date(today.year - 3, 1, 1), recent)
        more = docket.forms4(recent + timedelta(days=1), today)
    else:
        found, more = [], docket.public(recent, today)
    found += [filed for filed in more if filer.cik in {cik for _, cik, _ in filed.parties}]
    found.sort(key=lambda filed: (filed.accepted_at, filed.accession), reverse=True)
    return found


def _filed_on(docket: Docket, day: date) -> list[Filed]:
    """Give what was filed as of a day: accepted on it, or after the cut-off before it."""
    first = day - timedelta(days=5)
    return [filed for filed in docket.public(first, day) if filed.filed == day]


def _indexed(world: World, day: date) -> bool:
    return is_business_day(day) and datetime.combine(day, INDEXED, EASTERN) <= world.now()


def _quarter(world: World, year: int, quarter: int) -> list[date]:
    """Give the days of a quarter that have an index, of the last year or so."""
    if quarter not in (1, 2, 3, 4) or not world.today().year - 1 <= year <= world.today().year:
        return []
    first = date(year, quarter * 3 - 2, 1)
    days = [first + timedelta(days=n) for n in range(92)]
    return [d for d in days if (d.month + 2) // 3 == quarter and _indexed(world, d)]


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _answer(body: bytes, media_type: str) -> Response:
    return Response(body, media_type=media_type, headers={ORIGIN_HEADER: Origin.SYNTHETIC.value})


def _json(body: Any) -> Response:
    return _answer(json.dumps(body, separators=(",", ":")).encode(), "application/json")


def _table(body: bytes, *, packed: bool) -> Response:
    if packed:
        return _answer(gzip.compress(body, mtime=0), "application/gzip")
    return _answer(body, "text/plain")


def _no_such_key(key: str) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The '
        f"specified key does not exist.</Message><Key>{escape(key)}</Key></Error>"
    )
    return Response(body, 404, media_type="application/xml")


def _denied() -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    )
    return Response(body, 403, media_type="application/xml")
