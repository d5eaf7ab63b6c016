"""The shipped day: rebuilt byte for byte, small, and read back as it was written."""

import gzip
import hashlib
import json
from datetime import date
from pathlib import Path

import pytest

from relentless.configs.releases import ReleaseTable
from relentless.proto.errors import InvalidSettings
from relentless.sandbox.build_day import main
from relentless.sandbox.library import MISSING
from relentless.sandbox.shipped import (
    DAYS,
    ShippedDay,
    pack_rows,
    read_bills,
    unpack_rows,
    write_bills,
)

FOLDER = DAYS / "2013-10-07"


def test_the_command_rebuilds_the_day_byte_for_byte(recordings: Path, tmp_path: Path) -> None:
    assert main(["--recordings", str(recordings), "--output", str(tmp_path)]) == 0
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(built) == {"fred.json", "bills.csv.gz", "manifest.json"}
    for name, content in built.items():
        shipped = (FOLDER / name).read_bytes()
        if name.endswith(".gz"):  # the compressor may differ, what it holds may not
            shipped, content = gzip.decompress(shipped), gzip.decompress(content)
        assert shipped == content, name


def test_the_manifest_describes_the_files() -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_bytes())
    bills = gzip.decompress((FOLDER / "bills.csv.gz").read_bytes())
    fred = (FOLDER / "fred.json").read_bytes()
    assert manifest["sha256"] == {
        "fred.json": hashlib.sha256(fred).hexdigest(),
        "bills.csv": hashlib.sha256(bills).hexdigest(),
    }
    assert manifest["bills"] == 4_931
    assert len(manifest["observations"]) == 18
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 600_000


def test_the_three_private_series_are_synthetic_and_say_so() -> None:
    body = json.loads((FOLDER / "fred.json").read_bytes())["series"]
    synthetic = {name for name, series in body.items() if series["origin"] == "synthetic"}
    assert synthetic == {"VIXCLS", "BAMLH0A0HYM2", "BAMLC0A0CM"}
    for name in synthetic:
        assert "invented" in body[name]["note"]


def test_nothing_in_the_bills_is_later_than_the_day_before() -> None:
    bills = ShippedDay.load("2013-10-07", ReleaseTable.load()).bills(date(2013, 10, 6))
    last = date(2013, 10, 6)
    assert max(bill.first_day for bill in bills) <= last
    assert max(stage.day for bill in bills for stage in bill.stages) <= last
    laws = [bill for bill in bills if bill.law]
    assert len(laws) == 43
    assert all(any(stage.step == "signed" for stage in bill.stages) for bill in laws)


def test_bills_and_values_survive_the_format() -> None:
    bills = ShippedDay.load("2013-10-07", ReleaseTable.load()).bills(date(2013, 10, 6))
    assert read_bills(write_bills(bills)) == bills
    for layout, days in (
        ("weekdays", [date(2013, 9, 30), date(2013, 10, 2), date(2013, 10, 4)]),
        ("daily", [date(2013, 9, 29), date(2013, 10, 6)]),
        ("monthly", [date(2013, 7, 1), date(2013, 9, 1)]),
    ):
        rows = dict.fromkeys(days, MISSING) | {days[-1]: "1.50"}
        packed = pack_rows(rows, layout)  # type: ignore[arg-type]
        assert unpack_rows({"calendar": layout, "values": packed}) == rows


def test_a_day_that_is_not_shipped_is_named_with_those_that_are() -> None:
    with pytest.raises(InvalidSettings, match="choose one of 2013-10-07"):
        ShippedDay.load("2013-10-08", ReleaseTable.load())
