"""FRED's ``series/observations`` over a fake wire, for generated or recorded series."""

import csv
import random
from datetime import date, timedelta
from functools import lru_cache

import httpx

from relentless.configs.releases import SERIES, ReleaseTable

RELEASES = ReleaseTable.load()
LAST = date(2013, 12, 31)


def generated(seed=7):
    """Give every series from May 2012 to the end of 2013 as {series: [(day, text)]}, with holes."""
    chance = random.Random(seed)
    made = {}
    for name in SERIES:
        frequency, rows, day = RELEASES.frequency(name), [], date(2012, 5, 1)
        value = chance.uniform(1.0, 5.0)
        while day <= LAST:
            value += chance.gauss(0, 0.05)
            if name.startswith("DFEDTAR"):
                value = 0.25
            text = "." if chance.random() < 0.03 and frequency != "Monthly" else f"{value:.2f}"
            if frequency == "Daily, 7-Day" or frequency == "Monthly" or day.weekday() < 5:
                rows.append((day, text))
            month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            day = month if frequency == "Monthly" else day + timedelta(days=1)
        made[name] = rows
    return made


@lru_cache(maxsize=1)
def recorded(folder):
    """Give the recorded series; the target range of 2013 is stated, as no file holds it."""
    made = {}
    for name in SERIES:
        path = folder / "fred" / "csv" / f"{name}.csv"
        with path.open() as file:
            rows = list(csv.reader(file))[1:]
        made[name] = [(date.fromisoformat(d), v or ".") for d, v in rows]
    days = [date(2010, 1, 1) + timedelta(days=n) for n in range(1461)]
    made["DFEDTARU"] = [(day, "0.25") for day in days]
    made["DFEDTARL"] = [(day, "0") for day in days]
    return made


def page(series, params, origin="recorded"):
    """Give the answer to one request, in FRED's form."""
    first = date.fromisoformat(params.get("observation_start", "1776-07-04"))
    last = date.fromisoformat(params.get("observation_end", "9999-12-31"))
    stamp = {"realtime_start": params["realtime_start"], "realtime_end": params["realtime_end"]}
    rows = [
        {**stamp, "date": day.isoformat(), "value": text}
        for day, text in series[params["series_id"]]
        if first <= day <= last
    ]
    body = {
        **stamp,
        "observation_start": first.isoformat(),
        "observation_end": last.isoformat(),
        "units": "lin",
        "output_type": 1,
        "file_type": "json",
        "order_by": "observation_date",
        "sort_order": "asc",
        "count": len(rows),
        "offset": 0,
        "limit": 100_000,
        "observations": rows,
    }
    return httpx.Response(200, json=body, headers={"X-Relentless-Origin": origin})


def serve(series, faults=None):
    """Give a handler; ``faults`` maps a series to what stands in for its answer."""
    faults = faults or {}

    async def handler(request):
        params = dict(request.url.params)
        fault = faults.get(params["series_id"])
        if fault is None:
            return page(series, params)
        if isinstance(fault, Exception):
            raise fault
        return await fault(page(series, params)) if callable(fault) else fault

    return handler
