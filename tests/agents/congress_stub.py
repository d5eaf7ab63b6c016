"""api.congress.gov's list, detail, actions and committees over a fake wire, for chosen bills."""

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

import httpx


@dataclass
class StubBill:
    """One bill; ``actions`` are (date, text), oldest first."""

    number: int
    title: str = "Making appropriations for fiscal year 2014."
    kind: str = "hr"
    actions: list = field(default_factory=lambda: [("2013-09-30", "Introduced in House")])
    committees: list = field(default_factory=lambda: ["Budget Committee"])
    sponsors: list = field(default_factory=lambda: [{"party": "R", "state": "KY"}])
    updated: str = ""
    cosponsors: list = field(default_factory=list)
    official: str = "Making appropriations for fiscal year 2014."

    @property
    def listed(self):
        day, text = self.actions[-1]
        return {
            "congress": 113,
            "latestAction": {"actionDate": day, "text": text},
            "number": str(self.number),
            "originChamberCode": self.kind[0].upper(),
            "title": self.title,
            "type": self.kind.upper(),
            "updateDate": self.update_day,
        }

    @property
    def update_day(self):
        day = date.fromisoformat(self.actions[-1][0]) + timedelta(days=1)
        return self.updated or day.isoformat()

    @property
    def detail(self):
        return {
            "congress": 113,
            "cosponsors": {"count": 3, "countIncludingWithdrawnCosponsors": len(self.cosponsors)},
            "introducedDate": self.actions[0][0],
            "number": str(self.number),
            "sponsors": self.sponsors,
            "title": self.title,
            "type": self.kind.upper(),
        }


class Stub:
    """A handler for ``httpx.MockTransport``; ``asked`` holds what was asked, in order."""

    def __init__(self, bills):
        self.bills = list(bills)
        self.asked = []
        self.before_list = lambda request: None
        """Called before each page of the list: what happens upstream meanwhile."""

    def __call__(self, request):
        path, query = request.url.path, request.url.params
        self.asked.append(f"{path}?{query}")
        assert query["format"] == "json" and request.headers["x-api-key"]
        if path == "/v3/bill/113":
            self.before_list(request)
            return self._list(query)
        match = re.fullmatch(r"/v3/bill/113/(\w+)/(\d+)(?:/(\w+))?", path)
        kind, number, part = match.groups()
        found = [b for b in self.bills if b.kind == kind and b.number == int(number)]
        if not found:
            return httpx.Response(404, json={"error": f"Unknown resource: {path[4:]}"})
        return self._one(found[0], part, query)

    def _list(self, query):
        assert query["sort"] == "updateDate asc"
        since = query.get("fromDateTime", "")[:10]
        items = [b for b in self.bills if b.update_day >= since]
        items.sort(key=lambda bill: bill.update_day)
        return self._page("bills", [bill.listed for bill in items], query)

    def _one(self, bill, part, query):
        if part is None:
            return httpx.Response(200, json={"bill": bill.detail})
        if part == "actions":
            said = [{"actionDate": day, "text": text} for day, text in reversed(bill.actions)]
            return self._page("actions", said, query)
        if part == "cosponsors":
            return self._page("cosponsors", bill.cosponsors, query)
        if part == "titles":
            kinds = ("Display Title", "Official Title as Introduced")
            said = [
                {"title": t, "titleType": k}
                for t, k in zip((bill.title, bill.official), kinds, strict=True)
            ]
            return self._page("titles", said, query)
        day = f"{bill.actions[0][0]}T16:00:00Z"
        said = [
            {"activities": [{"date": day, "name": "Referred To"}], "chamber": "House", "name": name}
            for name in bill.committees
        ]
        return self._page("committees", said, query)

    def _page(self, name, items, query):
        offset, limit = int(query["offset"]), min(int(query["limit"]), 250)
        body = {name: items[offset : offset + limit], "pagination": {"count": len(items)}}
        return httpx.Response(200, json=body)
