"""The release calendar of FRED's site: HTML, as a rule inside JSON, with times of day. Pure.

A day's heading is followed by its releases in the order of their times. A time is written once: a
blank cell means the time above it, and "N/A" that none is stated. Times are US Central.
"""

import re
from datetime import date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from lxml import html

from relentless.agents.runtime.answer import decode_json, decode_text
from relentless.agents.runtime.markup import parse_html
from relentless.proto.errors import SourceMalformed

SOURCE: Final = "fred_web"
CENTRAL: Final = ZoneInfo("America/Chicago")
_HEADING: Final = "%A %B %d, %Y"
_RELEASE: Final = re.compile(r"^/release\?rid=(\d{1,9})$")
_OF: Final = re.compile(r"Releases\s+(\d+)\s*-\s*(\d+)\s+of\s+(\d+)")

Times = dict[tuple[int, date], datetime | None]


def read_body(body: bytes) -> Times:
    """Give the times that an answer states: JSON as the page's own script gets it, or the page.

    Raises:
        SourceMalformed: neither, or not the whole of the calendar.
    """
    if body.lstrip().startswith(b"<"):
        return read_times({"pager": decode_text(SOURCE, body)})
    return read_times(decode_json(SOURCE, body))


def read_times(body: Any) -> Times:
    """Give the time of each release and day, aware; None where the page states none.

    Raises:
        SourceMalformed: the page is not the calendar, or not the whole of it.
    """
    markup = body.get("pager") if isinstance(body, dict) else None
    if not isinstance(markup, str):
        raise SourceMalformed(SOURCE, "no calendar in the answer")
    root = parse_html(SOURCE, markup)
    found: Times = {}
    day: date | None = None
    above: time | None = None
    rows = 0
    for row in root.iter("tr"):
        links = [a for a in row.iter("a") if _RELEASE.match(a.get("href", ""))]
        cells = row.findall("td")
        if not links:
            heading = _heading(row)
            day, above = (heading, None) if heading else (day, above)
            continue
        if day is None or len(cells) != 2 or len(links) != 1:
            raise SourceMalformed(SOURCE, "a release stands under no day")
        rows += 1
        text = " ".join(cells[0].text_content().split())
        above = _time(text) if text else above
        number = int(_RELEASE.match(links[0].get("href")).group(1))  # type: ignore[union-attr]
        found[number, day] = datetime.combine(day, above, CENTRAL) if above else None
    _check_whole(root, rows)
    return found


def _check_whole(root: html.HtmlElement, rows: int) -> None:
    """Hold the rows to what the page's foot says of them."""
    stated = _OF.search(" ".join(root.text_content().split()))
    if stated is None:
        raise SourceMalformed(SOURCE, "the calendar has no foot")
    first, last, count = (int(part) for part in stated.groups())
    if (first, last) != (min(1, count), count) or rows != count:
        raise SourceMalformed(SOURCE, f"the calendar holds {rows} of {count} releases")


def _heading(row: html.HtmlElement) -> date | None:
    for span in row.iter("span"):
        try:
            return datetime.strptime(span.text_content().strip(), _HEADING).date()  # noqa: DTZ007
        except ValueError:
            continue
    return None


def _time(text: str) -> time | None:
    """Read "9:00 am"; None for "N/A".

    Raises:
        SourceMalformed: neither.
    """
    if text.upper() == "N/A":
        return None
    try:
        return datetime.strptime(text.upper(), "%I:%M %p").time()  # noqa: DTZ007
    except ValueError:
        raise SourceMalformed(SOURCE, f"{text[:40]!r} is no time of day") from None
