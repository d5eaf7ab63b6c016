"""api.congress.gov v3 in a box: bills, their detail, actions, committees and cosponsors.

Field names, paging and error bodies are the real service's. Bills are served as known at market
time: an action appears at the end of its day in New York, and until then neither its text nor any
date of it is in an answer. ``updateDate`` says when the record was touched, which here is the day
after the latest action. Titles are those of the first text. ``introducedDate`` is the day of the
first text where the recording holds no introduction.

Not in the box: summaries, texts, amendments, subjects (empty lists, as the real service gives for
a bill without them), and members beyond id, party and state.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from relentless.sandbox.congress_views import CHAMBERS, detail, list_item
from relentless.sandbox.docket import Docket, State
from relentless.sandbox.markup import congress_xml
from relentless.sandbox.world import NOTE_HEADER, ORIGIN_HEADER, World

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 250
KEY: Final = re.compile(r"^[A-Za-z0-9_-]{1,128}$")

T = TypeVar("T")

_WHERE: Final = "Get one at https://api.congress.gov:443"
_SORTS: Final[dict[str, tuple[Callable[[State], Any], bool]]] = {
    "": (lambda state: state.latest.day, True),
    "updateDate desc": (lambda state: state.updated, True),
    "updateDate asc": (lambda state: state.updated, False),
}


@dataclass(frozen=True)
class Refused(Exception):
    """An answer that is an error."""

    status: int
    body: Mapping[str, Any]


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/v3``."""
    service = _Service(world, Docket(world))
    one = "/v3/bill/{congress:int}/{kind}/{number:int}"
    paths: dict[str, Callable[[Request], Mapping[str, Any]]] = {
        "/v3/bill": service.bills,
        "/v3/bill/{congress:int}": service.bills,
        "/v3/bill/{congress:int}/{kind}": service.bills,
        one: service.bill,
        f"{one}/actions": service.actions,
        f"{one}/committees": service.committees,
        f"{one}/cosponsors": service.cosponsors,
        f"{one}/subjects": service.subjects,
        f"{one}/titles": service.titles,
        "/v3/{rest:path}": service.unknown,
    }
    return [Route(path, _endpoint(world, handler)) for path, handler in paths.items()]


def _endpoint(
    world: World, handler: Callable[[Request], Mapping[str, Any]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        headers = {ORIGIN_HEADER: world.library.origin.value, NOTE_HEADER: world.library.bills_note}
        status, body = 200, {}
        try:
            _check_key(request)
            body = dict(handler(request))
        except Refused as error:
            status, body, headers = error.status, dict(error.body), {}
        if request.query_params.get("format") == "json" or status != 200:
            return JSONResponse(body, status, headers)
        body["request"] = {**body["request"], "contentType": "application/xml", "format": "xml"}
        return Response(congress_xml(body), status, headers, media_type="application/xml")

    return endpoint


def _check_key(request: Request) -> None:
    key = request.headers.get("X-Api-Key") or request.query_params.get("api_key", "")
    if not key:
        code, message = "API_KEY_MISSING", f"No api_key was supplied. {_WHERE}"
    elif not KEY.match(key):
        code, message = "API_KEY_INVALID", f"An invalid api_key was supplied. {_WHERE}"
    else:
        return
    raise Refused(403, {"error": {"code": code, "message": message}})


class _Service:
    def __init__(self, world: World, docket: Docket) -> None:
        self._world = world
        self._docket = docket

    def bills(self, request: Request) -> Mapping[str, Any]:
        """Answer ``/bill``, ``/bill/{congress}`` and ``/bill/{congress}/{type}``."""
        congress: int | None = request.path_params.get("congress")
        kind = _kind(request)
        first, last = _moment(request, "fromDateTime"), _moment(request, "toDateTime")
        states = [
            state
            for state in self._docket.states()
            if (congress is None or state.bill.congress == congress)
            and (not kind or state.bill.kind == kind)
            and (first is None or state.updated >= first)
            and (last is None or state.updated <= last)
        ]
        sort = request.query_params.get("sort", "").replace("+", " ")
        key, newest_first = _SORTS.get(sort, _SORTS[""])
        states.sort(key=key, reverse=newest_first)
        root = _root(request)
        page, pagination = _page(request, states)
        asked: dict[str, Any] = {"contentType": "application/json", "format": "json"}
        if congress is not None:
            asked["congress"] = str(congress)
        if kind:
            asked["billType"] = kind
        return {
            "bills": [list_item(state, root) for state in page],
            "pagination": pagination,
            "request": asked,
        }

    def bill(self, request: Request) -> Mapping[str, Any]:
        """Answer ``/bill/{congress}/{type}/{number}``."""
        state = self._state(request)
        return {"bill": detail(state, _root(request)), "request": _asked(request)}

    def actions(self, request: Request) -> Mapping[str, Any]:
        """Answer a bill's ``/actions``, newest first."""
        items: list[dict[str, Any]] = []
        for action in self._state(request).actions:
            item = {"actionCode": action.code} if action.code else {}
            items.append(
                item
                | {
                    "actionDate": action.day.isoformat(),
                    "sourceSystem": {"code": 9, "name": "Library of Congress"},
                    "text": action.text,
                    "type": action.kind,
                }
            )
        return self._sub_list(request, "actions", items)

    def committees(self, request: Request) -> Mapping[str, Any]:
        """Answer a bill's ``/committees``."""
        state = self._state(request)
        items: list[dict[str, Any]] = []
        for committee in state.bill.committees:
            chamber, _, name = committee.partition(" - ")
            referred = {"date": f"{state.bill.first_day}T16:00:00Z", "name": "Referred To"}
            items.append(
                {"activities": [referred], "chamber": chamber, "name": name, "type": "Standing"}
            )
        return self._sub_list(request, "committees", items)

    def cosponsors(self, request: Request) -> Mapping[str, Any]:
        """Answer a bill's ``/cosponsors``: as many as its first text had, by party."""
        bill = self._state(request).bill
        parties = [name for name, n in zip("DRI", bill.cosponsors, strict=True) for _ in range(n)]
        items: list[dict[str, Any]] = [
            {
                "isOriginalCosponsor": True,
                "party": party,
                "sponsorshipDate": bill.first_day.isoformat(),
                "sponsorshipWithdrawnDate": None,
            }
            for party in parties
        ]
        return self._sub_list(request, "cosponsors", items)

    def subjects(self, request: Request) -> Mapping[str, Any]:
        """Answer a bill's ``/subjects``: none are assigned yet."""
        self._state(request)
        return {
            "pagination": {"count": 0},
            "request": _asked(request),
            "subjects": {"legislativeSubjects": []},
        }

    def titles(self, request: Request) -> Mapping[str, Any]:
        """Answer a bill's ``/titles``: the official one of its first text."""
        bill = self._state(request).bill
        items = [
            {
                "title": bill.title,
                "titleType": "Official Title as Introduced",
                "titleTypeCode": 6,
            }
        ]
        return self._sub_list(request, "titles", items)

    def unknown(self, request: Request) -> Mapping[str, Any]:
        """Answer any other path."""
        raise _not_found(request)

    def _state(self, request: Request) -> State:
        parameters = request.path_params
        state = self._docket.state((parameters["congress"], _kind(request), parameters["number"]))
        if state is None:
            raise _not_found(request)
        return state

    def _sub_list(
        self, request: Request, name: str, items: list[dict[str, Any]]
    ) -> Mapping[str, Any]:
        page, pagination = _page(request, items)
        return {name: page, "pagination": pagination, "request": _asked(request)}


def _kind(request: Request) -> str:
    kind = str(request.path_params.get("kind", "")).lower()
    if kind and kind not in CHAMBERS:
        raise _not_found(request)
    return kind


def _not_found(request: Request) -> Refused:
    path = request.url.path.removeprefix("/v3/")
    return Refused(404, {"error": f"Unknown resource: {path}"})


def _asked(request: Request) -> dict[str, Any]:
    parameters = request.path_params
    congress, kind, number = parameters["congress"], _kind(request), parameters["number"]
    return {
        "billNumber": str(number),
        "billType": kind,
        "billUrl": f"{_root(request)}/bill/{congress}/{kind}/{number}?format=json",
        "congress": str(congress),
        "contentType": "application/json",
        "format": "json",
    }


def _root(request: Request) -> str:
    """Give the address that links in an answer begin with."""
    return f"{request.base_url}v3"


def _page(request: Request, items: list[T]) -> tuple[list[T], dict[str, Any]]:
    """Cut a page; a limit above the highest is cut without a word, as the service does."""
    limit = min(_whole(request, "limit", DEFAULT_LIMIT), MAX_LIMIT)
    offset = _whole(request, "offset", 0)
    pagination: dict[str, Any] = {"count": len(items)}
    if offset + limit < len(items) and limit > 0:
        pagination["next"] = _page_url(request, offset + limit, limit)
    if offset > 0 and limit > 0:
        pagination["prev"] = _page_url(request, max(offset - limit, 0), limit)
    return items[offset : offset + limit], pagination


def _page_url(request: Request, offset: int, limit: int) -> str:
    kept = {
        name: value
        for name, value in request.query_params.items()
        if name not in {"api_key", "offset", "limit"}
    }
    url = request.url.replace(query="")
    return str(url.include_query_params(offset=offset, limit=limit, **kept))


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal():
        raise Refused(400, {"error": f"Invalid value for {name}: {text[:40]}"})
    return int(text)


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, {"error": f"Invalid value for {name}: {text[:40]}"}) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
