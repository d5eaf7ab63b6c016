"""A bill's state in the field names of api.congress.gov v3."""

from typing import Any, Final

from relentless.sandbox.docket import State

CHAMBERS: Final = {
    "hr": "House",
    "hjres": "House",
    "hconres": "House",
    "hres": "House",
    "s": "Senate",
    "sjres": "Senate",
    "sconres": "Senate",
    "sres": "Senate",
}
"""Types of measure and the chamber in which they begin."""


def list_item(state: State, root: str) -> dict[str, Any]:
    """Give a bill as a list shows it: no sponsor, no committees."""
    bill = state.bill
    chamber = CHAMBERS[bill.kind]
    return {
        "congress": bill.congress,
        "latestAction": _latest(state),
        "number": str(bill.number),
        "originChamber": chamber,
        "originChamberCode": chamber[0],
        "title": bill.title,
        "type": bill.kind.upper(),
        "updateDate": _update_date(state),
        "updateDateIncludingText": _timestamp(state),
        "url": f"{_url(state, root)}?format=json",
    }


def detail(state: State, root: str) -> dict[str, Any]:
    """Give a bill as its own page shows it. ``sponsors`` is a list, as everywhere in v3."""
    bill, url = state.bill, _url(state, root)
    cosponsors = sum(bill.cosponsors)
    body: dict[str, Any] = {
        "actions": {"count": len(state.actions), "url": f"{url}/actions?format=json"},
        "committees": {"count": len(bill.committees), "url": f"{url}/committees?format=json"},
        "congress": bill.congress,
        "cosponsors": {
            "count": cosponsors,
            "countIncludingWithdrawnCosponsors": cosponsors,
            "url": f"{url}/cosponsors?format=json",
        },
        "introducedDate": bill.first_day.isoformat(),
        "latestAction": _latest(state),
        "number": str(bill.number),
        "originChamber": CHAMBERS[bill.kind],
        "originChamberCode": CHAMBERS[bill.kind][0],
        "sponsors": _sponsors(state, root),
        "subjects": {"count": 0, "url": f"{url}/subjects?format=json"},
        "title": bill.title,
        "titles": {"count": 1, "url": f"{url}/titles?format=json"},
        "type": bill.kind.upper(),
        "updateDate": _timestamp(state),
        "updateDateIncludingText": _timestamp(state),
    }
    if not cosponsors:
        del body["cosponsors"]
    if state.law:
        body["laws"] = [{"number": state.law, "type": "Public Law"}]
    return body


def _sponsors(state: State, root: str) -> list[dict[str, Any]]:
    bill = state.bill
    if not bill.party:
        return []
    office = "Rep." if CHAMBERS[bill.kind] == "House" else "Sen."
    return [
        {
            "bioguideId": bill.sponsor,
            "fullName": f"{office} [{bill.party}-{bill.state}]",
            "isByRequest": "N",
            "party": bill.party,
            "state": bill.state,
            "url": f"{root}/member/{bill.sponsor}?format=json",
        }
    ]


def _latest(state: State) -> dict[str, str]:
    return {"actionDate": state.latest.day.isoformat(), "text": state.latest.text}


def _url(state: State, root: str) -> str:
    bill = state.bill
    return f"{root}/bill/{bill.congress}/{bill.kind}/{bill.number}"


def _update_date(state: State) -> str:
    return state.updated.date().isoformat()


def _timestamp(state: State) -> str:
    return state.updated.strftime("%Y-%m-%dT%H:%M:%SZ")
