"""Rebuild a shipped day from recordings: ``python -m relentless.sandbox.build_day --recordings F``.

Keeps what was known by the end of the day in New York and nothing later: observations by their
release time, bills by the day of their first text, stages by their own day, a law's number by the
day of its signing. Series of private owners are not copied but invented (``invented.py``).
"""

import argparse
import gzip
import hashlib
import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from relentless.configs.clock import EASTERN
from relentless.configs.releases import SERIES, ReleaseTable
from relentless.proto.contexts import Origin
from relentless.sandbox.invented import NOTE, PROCESSES, invent
from relentless.sandbox.library import LAW_CAPABLE, Bill
from relentless.sandbox.recorded import FRED_NOTE, RecordedLibrary
from relentless.sandbox.shipped import DAYS, Calendar, pack_rows, write_bills

DAY: Final = date(2013, 10, 7)
SEED: Final = 20131007
FIRST_DAILY: Final = date(2011, 9, 1)
FIRST_MONTHLY: Final = date(2010, 6, 1)
_LAYOUTS: Final[dict[str, Calendar]] = {"Monthly": "monthly", "Daily, 7-Day": "daily"}


def build_files(recordings: Path, day: date = DAY) -> dict[str, bytes]:
    """Give the files of a day by name, byte for byte the same on every run."""
    releases = ReleaseTable.load()
    library = RecordedLibrary(recordings, releases)
    ends = datetime.combine(day + timedelta(days=1), time(), EASTERN).astimezone(UTC)
    series = {name: _series(name, library, releases, ends) for name in SERIES}
    fred = _text({"day": day.isoformat(), "series": series})
    bills = write_bills(_bills(library, day)).encode()
    manifest = _text(
        {
            "day": day.isoformat(),
            "known_before": ends.isoformat(),
            "seed": SEED,
            "observations": {name: _count(body) for name, body in series.items()},
            "bills": bills.count(b"\n") - 1,
            "sha256": {
                "fred.json": hashlib.sha256(fred).hexdigest(),
                "bills.csv": hashlib.sha256(bills).hexdigest(),
            },
        }
    )
    packed = gzip.compress(bills, compresslevel=9, mtime=0)
    return {"fred.json": fred, "bills.csv.gz": packed, "manifest.json": manifest}


def _series(
    series_id: str, library: RecordedLibrary, releases: ReleaseTable, ends: datetime
) -> dict[str, Any]:
    frequency = releases.frequency(series_id)
    first = FIRST_MONTHLY if frequency == "Monthly" else FIRST_DAILY
    if series_id in PROCESSES:
        origin, note = Origin.SYNTHETIC, NOTE
        rows = invent(series_id, first, ends.date(), SEED)
    else:
        origin, note = Origin.RECORDED, FRED_NOTE
        recorded = library.series(series_id)
        if recorded is None:
            raise LookupError(f"{series_id} is not recorded")
        rows = dict(zip(recorded.days, recorded.values, strict=True))
    known = {
        day: value
        for day, value in rows.items()
        if day >= first and releases.known_at(series_id, day) < ends
    }
    layout = _LAYOUTS.get(frequency, "weekdays")
    return {
        "origin": origin.value,
        "note": note,
        "calendar": layout,
        "values": pack_rows(known, layout),
    }


def _bills(library: RecordedLibrary, day: date) -> list[Bill]:
    """Give the bills known on a day, each without anything that came after."""
    through = day - timedelta(days=1)
    known = []
    for bill in library.bills(through):
        if bill.kind in LAW_CAPABLE and bill.first_day <= through:
            stages = tuple(stage for stage in bill.stages if stage.day <= through)
            signed = any(stage.step == "signed" for stage in stages)
            known.append(replace(bill, stages=stages, law=bill.law if signed else ""))
    order = {kind: rank for rank, kind in enumerate(LAW_CAPABLE)}
    return sorted(known, key=lambda bill: (bill.congress, order[bill.kind], bill.number))


def _count(body: dict[str, Any]) -> int:
    return sum(len(line.split()) for line in body["values"].values())


def _text(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def main(arguments: list[str] | None = None) -> int:
    """Write the day's files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, required=True, help="folder of recorded data")
    parser.add_argument("--output", type=Path, default=DAYS / DAY.isoformat())
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, content in build_files(options.recordings).items():
        (options.output / name).write_bytes(content)
        print(f"{options.output / name}: {len(content)} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
