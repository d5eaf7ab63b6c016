"""When EDGAR accepted a filing, and when the public could read it. Pure, no I/O.

Three clocks tell the acceptance: the SGML header (Eastern, no zone), the feed's ``updated`` (with
an offset), and ``acceptanceDateTime`` of the submissions JSON. The last ends with "Z" but is
Eastern wall time in some answers and UTC in others; the same accession was recorded both ways. It
is read as Eastern, which is the truth or four to five hours late, never early.
"""

import re
from datetime import UTC, date, datetime, time
from typing import Final

from relentless.configs.clock import EASTERN

OPENS: Final = time(6, 0)
"""When EDGAR begins to disseminate on a business day, Eastern."""
_SGML: Final = re.compile(r"\d{14}")
_JSON: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,6})?Z?")


def eastern(naive: datetime) -> datetime:
    """Read wall time in New York as UTC.

    The hour that comes twice in autumn, or never in spring, is the later of its two readings.
    """
    readings = (naive.replace(tzinfo=EASTERN, fold=fold).astimezone(UTC) for fold in (0, 1))
    return max(readings)


def sgml_acceptance(text: str) -> datetime:
    """Read ACCEPTANCE-DATETIME, "20240429090018", which is Eastern.

    Raises:
        ValueError: it is no such time.
    """
    stripped = text.strip()
    if not _SGML.fullmatch(stripped):
        raise ValueError(f"no acceptance time: {stripped[:20]!r}")
    return eastern(datetime.strptime(stripped, "%Y%m%d%H%M%S"))  # noqa: DTZ007


def atom_updated(text: str) -> datetime:
    """Read the feed's ``updated``, "2025-12-12T18:02:43-05:00".

    Raises:
        ValueError: it is no time, or has no offset.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset: {text[:30]!r}")
    return moment.astimezone(UTC)


def json_acceptance(text: str) -> datetime:
    """Read ``acceptanceDateTime`` of the submissions as Eastern, whatever its "Z" says.

    Raises:
        ValueError: it is no such time.
    """
    found = _JSON.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"no acceptance time: {text[:30]!r}")
    return eastern(datetime.fromisoformat(found[1]))


def disseminated_at(accepted_at: datetime, filed: date) -> datetime:
    """Give when the public could read a filing, in UTC.

    What EDGAR accepts after 17:30 Eastern is filed as of the next business day and posted at 06:00
    of that day; forms that keep the day until 22:00 (3, 4, 5, 144, Schedules 13) are posted at
    once. The filing date tells which of the two it was.
    """
    local = accepted_at.astimezone(EASTERN)
    if filed <= local.date():
        return accepted_at.astimezone(UTC)
    return max(accepted_at, datetime.combine(filed, OPENS, EASTERN)).astimezone(UTC)


def index_day(text: str) -> date:
    """Read a filing date, "2021-02-05" or "20200318".

    Raises:
        ValueError: it is no date.
    """
    return date.fromisoformat(text)
