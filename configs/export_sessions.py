"""Rebuild the exchange table: ``python -m relentless.configs.export_sessions``.

Nothing imports this module at run time; ``configs.sessions`` reads what it writes.
"""

import json
from datetime import date, timedelta
from typing import Any, Final

from relentless.configs.sessions import CLOSE, TABLE

FIRST: Final = date(1990, 1, 1)
LAST: Final = date(2030, 12, 31)


def export() -> dict[str, Any]:
    """Give the table as exchange_calendars knows it.

    Raises:
        ValueError: a session opens at another time than 09:30, which the table cannot say.
    """
    import exchange_calendars  # costs seconds

    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST, end=LAST)
    if len(calendar.late_opens):
        raise ValueError("a session opens late; the table needs a column for it")
    sessions = {moment.date() for moment in calendar.sessions}
    days = (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))
    closes = (
        calendar.closes.dt.tz_localize("UTC")
        if calendar.closes.dt.tz is None
        else (calendar.closes)
    )
    local = closes.dt.tz_convert(str(calendar.tz))
    return {
        "calendar": "XNYS",
        "library": f"exchange_calendars {exchange_calendars.__version__}",
        "first": FIRST.isoformat(),
        "last": LAST.isoformat(),
        "closed": [day.isoformat() for day in days if day.weekday() < 5 and day not in sessions],
        "early": {
            day.date().isoformat(): close.time().isoformat("minutes")
            for day, close in local.items()
            if close.time() != CLOSE
        },
    }


if __name__ == "__main__":
    TABLE.write_text(json.dumps(export(), indent=1) + "\n")
