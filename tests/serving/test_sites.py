"""Who is asked next, who is set aside and comes back, and how many attempts a budget allows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.serving.budget import RetryBudget
from relentless.serving.sites import (
    FIRST_PAUSE_S,
    GOOD_PROBES,
    JITTER,
    LACKING_S,
    LONGEST_PAUSE_S,
    SETTLED,
    Endpoint,
    Site,
    Sites,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock, primary: int = 2, secondary: int = 1, edge: bool = True) -> Sites[str]:
    sites = [Site("primary", [Endpoint(f"p{n}", "") for n in range(primary)])]
    if secondary:
        sites.append(Site("secondary", [Endpoint(f"s{n}", "") for n in range(secondary)]))
    if edge:
        sites.append(Site("edge", [Endpoint("edge", "", local=True)]))
    return Sites(sites, clock=clock, draw=lambda: 0.5)


def ask(sites: Sites[str], good: bool = True) -> Endpoint[str]:
    found = sites.take(())
    assert found is not None
    sites.give(found, good)
    return found


def heal(sites: Sites[str], endpoint: Endpoint[str]) -> None:
    for _ in range(GOOD_PROBES):
        sites.probed(endpoint, True)


def test_the_servers_of_a_site_share_the_load_and_the_others_rest() -> None:
    sites = made(Clock(), primary=3)
    counts = Counter(ask(sites).address for _ in range(300))
    assert counts == {"p0": 100, "p1": 100, "p2": 100}


def test_the_least_busy_server_is_taken_first() -> None:
    sites = made(Clock())
    first, second = sites.take(()), sites.take(())
    assert first is not None
    sites.give(first, True)
    third = sites.take(())
    assert (first, third) == (third, first) != (second, second)


def test_a_server_that_fails_is_set_aside_until_it_answers_probes_in_a_row() -> None:
    clock = Clock()
    sites = made(clock)
    failed = ask(sites, good=False)
    assert {ask(sites).address for _ in range(4)} == {"p0", "p1"} - {failed.address}
    assert sites.due() == ([], FIRST_PAUSE_S)
    clock.now += FIRST_PAUSE_S
    assert sites.due()[0] == [failed]
    sites.probed(failed, True)
    assert not failed.up
    sites.probed(failed, False)
    for _ in range(GOOD_PROBES - 1):
        assert not sites.probed(failed, True)
    assert sites.probed(failed, True)
    assert {ask(sites).address for _ in range(4)} == {"p0", "p1"}
    assert sites.due() == ([], None)


def test_the_pauses_grow_to_a_limit_and_start_again_once_it_has_settled() -> None:
    clock = Clock()
    sites = made(clock, primary=1)
    failed = ask(sites, good=False)
    pauses = []
    for _ in range(10):
        pauses.append(failed.ask_at - clock.now)
        clock.now = failed.ask_at
        sites.probed(failed, False)
    assert pauses[:3] == pytest.approx([FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S])
    assert max(pauses) == pytest.approx(LONGEST_PAUSE_S)
    heal(sites, failed)
    ask(sites, good=False)
    assert failed.ask_at - clock.now == pytest.approx(LONGEST_PAUSE_S)
    heal(sites, failed)
    for _ in range(SETTLED):
        ask(sites)
    ask(sites, good=False)
    assert failed.ask_at - clock.now == pytest.approx(FIRST_PAUSE_S)


def test_pauses_are_spread_so_that_many_callers_do_not_ask_at_once() -> None:
    for draw, share in ((0.0, 1 - JITTER), (1.0, 1 + JITTER)):
        clock = Clock()
        site = Site("primary", [Endpoint("p0", "")])
        sites = Sites([site], clock=clock, draw=lambda draw=draw: draw)
        assert ask(sites, good=False).ask_at - clock.now == pytest.approx(share * FIRST_PAUSE_S)


def test_a_site_is_left_when_nothing_is_up_and_taken_again_when_half_of_it_is() -> None:
    sites = made(Clock(), primary=4)
    failed = [ask(sites, good=False) for _ in range(3)]
    assert sites.current.name == "primary"
    failed.append(ask(sites, good=False))
    assert (sites.current.name, sites.failovers, sites.returns) == ("secondary", 1, 0)
    assert ask(sites).address == "s0"
    heal(sites, failed[0])
    assert ask(sites).address == "s0"
    heal(sites, failed[1])
    assert ask(sites).address in {failed[0].address, failed[1].address}
    assert (sites.current.name, sites.failovers, sites.returns) == ("primary", 1, 1)


def test_the_edge_comes_last_and_is_never_set_aside() -> None:
    sites = made(Clock(), primary=1)
    ask(sites, good=False)
    ask(sites, good=False)
    assert [ask(sites, good=False).address for _ in range(3)] == ["edge"] * 3


def test_without_an_edge_the_server_whose_pause_ends_first_is_asked_rather_than_none() -> None:
    clock = Clock()
    sites = made(clock, edge=False)
    order = []
    for _ in range(3):
        order.append(ask(sites, good=False))
        clock.now += 0.01
    assert ask(sites).address == order[0].address
    assert sites.take({order[0]}) is None


def test_a_version_that_a_server_lacks_is_asked_of_it_later_only() -> None:
    clock = Clock()
    sites = made(clock)
    lacking = sites.sites[0].endpoints[0]
    sites.lacking(lacking, 2)

    def asked(version: int) -> set[str]:
        found = set()
        for _ in range(4):
            endpoint = sites.take((), version)
            assert endpoint is not None
            sites.give(endpoint, True)
            found.add(endpoint.address)
        return found

    assert asked(2) == {"p1"}
    assert asked(1) == {"p0", "p1"}
    clock.now += LACKING_S
    assert asked(2) == {"p0", "p1"}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "fail", "heal", "wait"]), st.integers(0, 3))))
def test_whatever_happens_somebody_is_asked_and_the_books_balance(
    events: list[tuple[str, int]],
) -> None:
    clock = Clock()
    sites = made(clock, primary=2, secondary=2)
    every = [e for site in sites.sites for e in site.endpoints]
    for event, number in events:
        if event in ("ask", "fail"):
            chosen = ask(sites, good=event == "ask")
            assert chosen.up or not chosen.local
            assert chosen.site >= sites.sites.index(sites.current) or event == "fail"
        elif event == "heal":
            heal(sites, every[number])
        else:
            clock.now += number
    assert all(e.inside == 0 for e in every)
    assert 0 <= sites.failovers - sites.returns <= 1
    for site in sites.sites:
        up = sum(e.up for e in site.endpoints)
        assert not (site.left and up >= (len(site.endpoints) + 1) // 2)
        assert not (not site.left and up == 0)


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=400), st.sampled_from([0.0, 0.1, 0.5]))
def test_further_attempts_are_at_most_a_share_of_the_requests(
    wanted: list[bool], share: float
) -> None:
    budget = RetryBudget(share, burst=5)
    for again in wanted:
        budget.request()
        if again:
            budget.take()
    assert budget.taken <= 5 + share * len(wanted)
    assert budget.taken + budget.withheld == sum(wanted)
