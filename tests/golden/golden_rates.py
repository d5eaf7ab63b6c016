"""The golden values of economic series on 7 October 2013, from the recorded CSV files.

A part of golden_20131007.py; like it, independent of the project.
"""

import csv
import statistics
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
DAY = date(2013, 10, 7)


def at(day, hour, minute):
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=EASTERN)


def business_day_after(day):
    """No holiday of the Federal Reserve lies between the days that this script looks at."""
    day += timedelta(days=1)
    while day.weekday() > 4:
        day += timedelta(days=1)
    return day


def h15(day):
    return at(business_day_after(day), 16, 15)


def ice(day):
    return at(business_day_after(day), 10, 51)


def vix(day):
    return at(business_day_after(day), 8, 41)


def h10(day):
    monday = day + timedelta(days=7 - day.weekday())
    return at(monday, 16, 15)


def fomc(day):
    """The range is stated for each day; from 14:00 the day's announcement would have changed it."""
    return at(day, 14, 0)


def employment(month):
    released = {
        (2013, 7): date(2013, 8, 2),
        (2013, 8): date(2013, 9, 6),
        (2013, 9): date(2013, 10, 22),
    }
    return monthly(month, released)


def prices(month):
    released = {
        (2013, 7): date(2013, 8, 15),
        (2013, 8): date(2013, 9, 17),
        (2013, 9): date(2013, 10, 30),
    }
    return monthly(month, released)


def monthly(month, released):
    """Months before the table were known long before; months after it are far ahead."""
    key = (month.year, month.month)
    if key in released:
        return at(released[key], 8, 30)
    return at(DAY, 0, 0) + timedelta(days=-60 if key < min(released) else 60)


KNOWN = {
    **dict.fromkeys(("DFF", "DGS1", "DGS2", "DGS10", "DGS30"), h15),
    **dict.fromkeys(("T10Y2Y", "T10Y3M", "T5YIE", "T10YIE"), h15),
    **dict.fromkeys(("BAMLH0A0HYM2", "BAMLC0A0CM"), ice),
    **dict.fromkeys(("DFEDTARU", "DFEDTARL"), fomc),
    **{"VIXCLS": vix, "DTWEXBGS": h10, "UNRATE": employment},
    **dict.fromkeys(("CPIAUCSL", "CPILFESL"), prices),
}


def read_series(folder, series, as_of):
    """Give the (day, value) known by a moment, oldest first; only dates near the day matter."""
    if series in ("DFEDTARU", "DFEDTARL"):  # not in the recorded files for that year
        value = 0.25 if series == "DFEDTARU" else 0.0
        days = (date(2008, 12, 16) + timedelta(days=n) for n in range(2000))
        return [(day, value) for day in days if KNOWN[series](day) <= as_of]
    with open(folder / "fred" / "csv" / f"{series}.csv", newline="") as file:
        rows = [(date.fromisoformat(day), text) for day, text in list(csv.reader(file))[1:]]
    return [
        (day, float(text))
        for day, text in rows
        if text not in ("", ".") and day <= DAY and KNOWN[series](day) <= as_of
    ]


def twelve_months(rows, index):
    values = dict(rows)
    day, value = rows[index]
    return (value / values[day.replace(year=day.year - 1)] - 1) * 100


def three_months(rows, index):
    values = dict(rows)
    day, value = rows[index]
    return value - values[day.replace(month=day.month - 3)]


def zscore(rows):
    last, value = rows[-1]
    window = [v for day, v in rows if day > last - timedelta(days=730)]
    if len(window) < 8 or len(set(window)) == 1:
        return None
    return (value - statistics.fmean(window)) / statistics.stdev(window)


def percentile(rows):
    last, value = rows[-1]
    window = [v for day, v in rows if day > last - timedelta(days=730)]
    return sum(v <= value for v in window) / len(window)


def stance(real_rate):
    return "hawkish" if real_rate > 2 else "dovish" if real_rate < 0 else "neutral"


def rate_features(folder, as_of):
    """Give {feature: (value, previous, series)} of every feature that comes from series."""
    s = {series: read_series(folder, series, as_of) for series in KNOWN}

    def level(series, index=-1):
        return s[series][index][1]

    def less(a, b):
        return (level(a) - level(b), level(a, -2) - level(b, -2), (a, b))

    def plain(series):
        return (level(series), level(series, -2), (series,))

    def delta(series):
        return (level(series) - level(series, -2), None, (series,))

    def z(series):
        return (zscore(s[series]), None, (series,))

    def inflation(series):
        return (twelve_months(s[series], -1), twelve_months(s[series], -2), (series,))

    policy = ("DFF", "DFEDTARU", "DFEDTARL", "CPILFESL")
    real = [
        min(max(level("DFF", i), level("DFEDTARL", i)), level("DFEDTARU", i))
        - twelve_months(s["CPILFESL"], i)
        for i in (-1, -2)
    ]
    trend = (three_months(s["UNRATE"], -1), three_months(s["UNRATE"], -2), ("UNRATE",))
    values = {
        "fed_funds_rate": plain("DFF"),
        "yield_curve_slope": less("DGS10", "DGS2"),
        "real_interest_rate": less("DGS10", "T10YIE"),
        "fed_stance": (stance(real[0]), stance(real[1]), policy),
        "credit_spread": plain("BAMLC0A0CM"),
        "high_yield_spread": plain("BAMLH0A0HYM2"),
        "inflation_expectation": plain("T10YIE"),
        "dollar_index": plain("DTWEXBGS"),
        "unemployment_trend": trend,
        "real_policy_rate": (real[0], real[1], policy),
        "fed_target_upper": plain("DFEDTARU"),
        "fed_target_lower": plain("DFEDTARL"),
        "treasury_1y": plain("DGS1"),
        "treasury_2y": plain("DGS2"),
        "treasury_10y": plain("DGS10"),
        "treasury_30y": plain("DGS30"),
        "treasury_10y_delta": delta("DGS10"),
        "treasury_10y_zscore": z("DGS10"),
        "yield_curve_10y2y": plain("T10Y2Y"),
        "yield_curve_10y2y_zscore": z("T10Y2Y"),
        "yield_curve_10y3m": plain("T10Y3M"),
        "breakeven_5y": plain("T5YIE"),
        "credit_spread_delta": delta("BAMLC0A0CM"),
        "credit_spread_zscore": z("BAMLC0A0CM"),
        "high_yield_spread_delta": delta("BAMLH0A0HYM2"),
        "high_yield_spread_zscore": z("BAMLH0A0HYM2"),
        "vix": plain("VIXCLS"),
        "vix_delta": delta("VIXCLS"),
        "vix_zscore": z("VIXCLS"),
        "vix_percentile": (percentile(s["VIXCLS"]), None, ("VIXCLS",)),
        "dollar_index_zscore": z("DTWEXBGS"),
        "unemployment_rate": plain("UNRATE"),
        "headline_inflation": inflation("CPIAUCSL"),
        "core_inflation": inflation("CPILFESL"),
    }
    days = {series: rows[-1][0] for series, rows in s.items()}
    return {
        name: said(
            value,
            previous,
            min(at(days[series], 0, 0) for series in parts),
            max(KNOWN[series](days[series]) for series in parts),
        )
        for name, (value, previous, parts) in values.items()
    }


def said(value, previous, observed_at, known_at):
    return {
        "value": value,
        "previous": previous,
        "observed_at": observed_at,
        "known_at": known_at,
        "quality": "ok",
        "origin": "recorded",
    }
