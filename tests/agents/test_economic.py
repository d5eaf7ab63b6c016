"""The economic calendar's parsers and measures, on recorded answers and on spoiled ones."""

import json
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.economic.dates import by_release, join, read_page, standing_alone
from relentless.agents.economic.figures import Figure, Figures
from relentless.agents.economic.memory import Memory
from relentless.agents.economic.webpage import read_body, read_times
from relentless.agents.fred.observations import read_rows
from relentless.configs.clock import EASTERN
from relentless.configs.events import event_table
from relentless.configs.releases import ReleaseTable
from relentless.proto.errors import SourceMalformed

from .conftest import eastern

PAGE = "releases_calendar_html_2025-07-01.json"
JULY = date(2025, 7, 1)


def body(recordings, name):
    return json.loads((recordings / "fred" / name).read_bytes())


def test_the_recorded_page_gives_every_release_its_time(recordings):
    """Read off the page by hand; blank cells take the time above, Central is an hour behind."""
    times = read_times(body(recordings, PAGE))
    assert len(times) == 43
    assert {day for _, day in times} == {JULY}
    stated = {number: at and at.astimezone(EASTERN).time() for (number, _), at in times.items()}
    by_hand = {
        502: time(2),
        483: time(8),
        445: time(8),
        375: time(9),
        378: time(9),
        192: time(10),
        229: time(10),
        183: time(10),
        377: time(10, 30),
        386: time(12),
        18: time(16, 15),
        441: time(20),
        209: None,
        304: None,
        101: None,
        206: None,
    }
    assert {number: stated[number] for number in by_hand} == by_hand
    assert sum(at is None for at in stated.values()) == 26


def test_the_rules_of_the_tables_are_what_the_page_states(recordings):
    times = read_times(body(recordings, PAGE))
    compared = 0
    for event in event_table():
        stated = times.get((event.release_id, JULY))
        if stated is not None:
            assert stated.astimezone(EASTERN).time() == event.at
            compared += 1
    assert compared == 2  # JOLTS and construction spending
    h15 = ReleaseTable.load().info("DGS10").rule
    assert h15.periods[0].at == times[h15.release_id, JULY].astimezone(EASTERN).time()


def test_the_table_s_names_are_fred_s(recordings):
    names = {row["id"]: row["name"] for row in body(recordings, "releases_list.json")["releases"]}
    assert len(names) == 314
    assert {event.name for event in event_table()} == {
        names[event.release_id] for event in event_table()
    }
    for series_id in ("UNRATE", "CPIAUCSL", "DGS10", "DFEDTARU", "VIXCLS", "BAMLC0A0CM", "T10YIE"):
        rule = ReleaseTable.load().info(series_id).rule
        assert rule.release_name == names[rule.release_id]


def test_the_recorded_calendar_is_read_whole(recordings):
    page = read_page(body(recordings, "releases_dates_a.json"), offset=0)
    dates = by_release(join([page]))
    assert page.total == sum(map(len, dates.values())) == 422
    assert dates[10] == {date(2025, 1, 15)}
    assert dates[50] == {date(2025, 1, 10)}
    assert dates[180] == {date(2025, 1, 2), date(2025, 1, 8), date(2025, 1, 16)}


def test_a_release_listed_on_every_day_says_nothing_of_a_meeting(recordings):
    """FRED lists the FOMC's release on each of the twenty days, Sundays too."""
    page = read_page(body(recordings, "releases_dates_a.json"), offset=0)
    days = by_release(page.rows)[101]
    assert days == {date(2025, 1, 1) + timedelta(days=n) for n in range(20)}
    assert standing_alone(days) == set()
    assert standing_alone(frozenset({date(2025, 1, 29)})) == {date(2025, 1, 29)}


def test_pages_that_do_not_join_are_malformed(recordings):
    whole = body(recordings, "releases_dates_a.json")
    rows = whole["release_dates"]

    def page(first, last):
        return read_page(whole | {"offset": first, "release_dates": rows[first:last]}, offset=first)

    assert join([page(0, 200), page(200, 422)]) == tuple(page(0, 422).rows)
    for pages in ([page(0, 200)], [page(0, 200), page(0, 200), page(400, 422)]):
        with pytest.raises(SourceMalformed):
            join(pages)
    shifted = read_page(whole | {"offset": 200, "release_dates": rows[197:419]}, offset=200)
    with pytest.raises(SourceMalformed):
        join([page(0, 200), shifted])
    with pytest.raises(SourceMalformed):
        read_page(whole | {"offset": 0}, offset=200)


def test_a_page_that_is_not_whole_is_malformed(recordings):
    pager = body(recordings, PAGE)["pager"]
    for spoiled in (
        pager[: len(pager) // 2],
        pager.replace("1 - 43 of 43", "1 - 43 of 90"),
        pager.replace("Tuesday July 01, 2025", "Some day"),
        pager.replace("9:00 am", "nine"),
        "",
        "<p>hello</p>",
    ):
        with pytest.raises(SourceMalformed):
            read_times({"pager": spoiled})
    for other in (None, [], {}, {"pager": None}):
        with pytest.raises(SourceMalformed):
            read_times(other)


def test_the_page_itself_is_read_like_the_answer_to_its_script(recordings):
    raw = (recordings / "fred" / PAGE).read_bytes()
    whole = "<!DOCTYPE html><html><body><h1>Release Calendar</h1>{}</body></html>"
    page = whole.format(json.loads(raw)["pager"]).encode()
    assert read_body(page) == read_body(raw)
    assert len(read_body(raw)) == 43


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"<" + b))
def test_random_bytes_are_no_calendar(raw):
    with pytest.raises(SourceMalformed):
        read_body(raw)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_mutated_page_gives_times_or_a_typed_error(recordings, data):
    pager = body(recordings, PAGE)["pager"]
    at = data.draw(st.integers(0, len(pager)))
    cut = data.draw(st.integers(0, 300))
    junk = data.draw(st.text(max_size=20))
    try:
        times = read_times({"pager": pager[:at] + junk + pager[at + cut :]})
    except SourceMalformed:
        return
    assert all(at is None or at.tzinfo for at in times.values())


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["release_dates", "count", "offset", "release_id", "date"]), inner
            )
        ),
    )
)
def test_any_other_json_is_malformed_as_a_calendar(value):
    try:
        page = read_page(value, offset=0)
    except SourceMalformed:
        return
    assert page.total >= len(page.rows)


def gdp(recordings):
    answer = body(recordings, "obs_GDP_all_vintages.json")
    rows = read_rows("GDP", answer, opens=date(1776, 7, 4))
    return Figures(tuple(Figure(r.day, r.vintage, r.value("GDP")) for r in rows))


def test_a_release_says_what_it_brought_and_what_was_known_before(recordings):
    """GDP of the fourth quarter of 2008: advance, then the next estimate, from FRED's vintages."""
    figures = gdp(recordings)
    advance = figures.released(date(2009, 1, 30), "level")
    assert advance == (14264.6, 14412.8)
    assert figures.released(date(2009, 2, 27), "level") == (14200.3, 14264.6)
    assert figures.newest(date(2009, 2, 26), "level") == 14264.6
    change, before = figures.released(date(2009, 1, 30), "change")
    assert change == -148.2
    assert before == pytest.approx(14412.8 - 14294.5)
    per_cent, _ = figures.released(date(2009, 1, 30), "change_pct")
    assert per_cent == pytest.approx(100 * (14264.6 - 14412.8) / 14412.8)
    assert figures.released(date(2009, 1, 29), "level") == (None, None)


def test_a_change_over_a_missing_month_is_no_change():
    months = [date(2025, m, 1) for m in (5, 6, 7, 8, 9, 11, 12)]
    rows = tuple(Figure(day, day + timedelta(days=40), 100.0 + n) for n, day in enumerate(months))
    figures = Figures(rows)
    november, december = (months[n] + timedelta(days=40) for n in (5, 6))
    assert figures.released(november, "level") == (105.0, 104.0)
    assert figures.released(november, "change") == (None, 1.0)
    assert figures.released(december, "change") == (1.0, None)


OLD, NEW = date(2013, 10, 16), date(2013, 10, 30)
FIRST = eastern("2013-10-07 05:05")
LATER = eastern("2013-10-10 05:05")


def gone(memory, listed, as_of=LATER):
    return [
        (w.release_id, w.day, w.moved_to)
        for w in memory.withdrawn(
            {n: frozenset(days) for n, days in listed.items()},
            as_of=as_of,
            first=as_of.date() - timedelta(days=4),
            ahead=30,
        )
    ]


def test_a_date_that_went_and_one_that_came_are_a_move(tmp_path):
    memory = Memory(tmp_path, "here")
    memory.keep({10: [OLD], 50: [date(2013, 11, 1)]}, FIRST)
    memory = Memory(tmp_path, "here")
    assert gone(memory, {10: [OLD], 50: [date(2013, 11, 1)]}) == []
    assert gone(memory, {10: [NEW], 50: [date(2013, 11, 1)]}) == [(10, OLD, NEW)]
    memory.keep({10: [NEW], 50: [date(2013, 11, 1)]}, LATER)
    again = eastern("2013-10-11 05:05")
    assert gone(Memory(tmp_path, "here"), {10: [NEW]}, again)[0] == (10, OLD, NEW)


def test_a_date_is_not_taken_for_moved_where_it_cannot_be_told(tmp_path):
    memory = Memory(tmp_path, "here")
    memory.keep({10: [OLD]}, FIRST)
    beyond = FIRST.date() + timedelta(days=31)  # was not yet in the calendar's window
    assert gone(memory, {10: [beyond]}) == [(10, OLD, None)]
    assert gone(memory, {10: [NEW, date(2013, 10, 31)]}) == [(10, OLD, None)]
    assert gone(memory, {}) == [(10, OLD, None)]


def test_a_repeated_run_finds_the_same_moves(tmp_path):
    memory = Memory(tmp_path, "here")
    memory.keep({10: [OLD]}, FIRST)
    found = gone(memory, {10: [NEW]})
    memory.keep({10: [NEW]}, LATER)
    assert gone(Memory(tmp_path, "here"), {10: [NEW]}) == found
    assert gone(Memory(tmp_path, "here"), {10: [NEW]}, FIRST) == []


def test_one_upstream_s_dates_are_not_another_s_and_a_damaged_file_is_none(tmp_path):
    Memory(tmp_path, "here").keep({10: [OLD]}, FIRST)
    assert gone(Memory(tmp_path, "there"), {10: [NEW]}) == []
    (path,) = tmp_path.glob("dates-*.json")
    path.write_bytes(path.read_bytes()[:20])
    assert gone(Memory(tmp_path, "here"), {10: [NEW]}) == []


def test_a_page_of_several_days_starts_each_day_without_a_time():
    def row(at, number):
        return f'<tr><td>{at}</td><td><a href="/release?rid={number}">x</a></td></tr>'

    def day(text):
        return f'<tr><td colspan="2"><span>{text}</span></td></tr>'

    rows = (
        day("Friday March 06, 2026") + row("7:30 am", 50) + row("", 9) + row("N/A", 101),
        row("", 304) + day("Monday March 09, 2026") + row("", 20) + row("2:00 pm", 14),
    )
    foot = "<table><tr><td>Releases 1 - 6 of 6</td></tr></table>"
    times = read_times({"pager": f"<div><table>{''.join(rows)}</table>{foot}</div>"})
    friday, monday = date(2026, 3, 6), date(2026, 3, 9)
    assert times[50, friday] == times[9, friday] == datetime(2026, 3, 6, 8, 30, tzinfo=EASTERN)
    assert times[101, friday] is times[304, friday] is times[20, monday] is None
    assert times[14, monday] == datetime(2026, 3, 9, 15, 0, tzinfo=EASTERN)  # daylight time by then
