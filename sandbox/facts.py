"""Facts of the Federal Open Market Committee that no recorded file holds.

The Committee's target range by effective date, from its own announcements (a work of the US
Government). FRED repeats the range for every day of the week.
"""

from datetime import date, timedelta
from typing import Final

TARGET_RANGE: Final = (
    # effective from, upper, lower (per cent)
    (date(2008, 12, 16), "0.25", "0.00"),
    (date(2015, 12, 17), "0.50", "0.25"),
    (date(2016, 12, 15), "0.75", "0.50"),
    (date(2017, 3, 16), "1.00", "0.75"),
    (date(2017, 6, 15), "1.25", "1.00"),
)
TARGET_RANGE_UNTIL: Final = date(2017, 7, 18)
"""The last day that the table speaks for."""


def target_range(series_id: str, first: date, last: date) -> dict[date, str]:
    """Give DFEDTARU or DFEDTARL for every day from ``first`` to ``last``, within the table."""
    rows = {}
    day = max(first, TARGET_RANGE[0][0])
    while day <= min(last, TARGET_RANGE_UNTIL):
        _, upper, lower = next(row for row in reversed(TARGET_RANGE) if row[0] <= day)
        rows[day] = upper if series_id == "DFEDTARU" else lower
        day += timedelta(days=1)
    return rows
