"""The agent over a fake wire: what it asks, says and leaves out, and what it remembers."""

import dataclasses
import json

import httpx
import pytest

from relentless.agents.congress import CongressAgent
from relentless.agents.congress import agent as module

from .conftest import eastern
from .congress_stub import Stub, StubBill

PASSED = [("2013-09-28", "Introduced in House"), ("2013-09-29", "Passed House.")]


def said(collected):
    return {message.context["bill_id"]: message for message in collected.messages}


def some_bills(count, **more):
    return [StubBill(n, updated=f"2013-09-{1 + n % 30:02}", **more) for n in range(1, count + 1)]


async def test_a_relevant_bill_becomes_a_message(make_run):
    run = await make_run(Stub([StubBill(59, kind="hjres", actions=PASSED)]))
    collected = await CongressAgent().collect(run)
    assert collected.status == "ok"
    message = said(collected)["113-hjres-59"]
    context = message.typed()
    assert context.stage == "passed_house"
    assert context.categories == ("finance",) and context.sectors_affected == ("Financials",)
    assert context.committees == ("House Budget Committee",)
    assert (context.sponsor_party, context.cosponsors) == ("R", 0)
    assert str(context.introduced_date) == "2013-09-28"
    assert message.known_at == eastern("2013-10-07 00:00"), "its chance is of that day"
    assert message.observed_at == eastern("2013-09-29 00:00")
    assert message.expires_at == eastern("2013-10-15 00:00")
    assert [e.origin.value for e in message.evidence] == ["recorded"] * 3
    assert all(e.sha256 and "abcdef" not in e.url for e in message.evidence)


async def test_what_is_irrelevant_or_cannot_become_law_is_not_said(make_run):
    bills = [
        StubBill(1, title="To name a post office."),
        StubBill(2, title=""),
        StubBill(3, kind="hres"),
        StubBill(4, actions=[("2013-01-09", "Became Public Law No: 113-1.")]),
        StubBill(5),
    ]
    collected = await CongressAgent().collect(await make_run(Stub(bills)))
    assert list(said(collected)) == ["113-hr-5"]
    assert not collected.gaps


async def test_a_bill_that_became_law_is_told_once_more(make_run):
    law = [*PASSED, ("2013-10-02", "Became Public Law No: 113-40.")]
    collected = await CongressAgent().collect(await make_run(Stub([StubBill(1, actions=law)])))
    assert said(collected)["113-hr-1"].context["stage"] == "law"


async def test_the_most_relevant_are_chosen_in_an_order_without_ties(make_run, monkeypatch):
    monkeypatch.setattr(module, "MAX_BILLS", 3)
    bills = [
        StubBill(7, title="Highway bill", actions=PASSED),
        StubBill(10),
        StubBill(9),
        StubBill(2, title="A health bill"),
        StubBill(5, kind="s"),
    ]
    collected = await CongressAgent().collect(await make_run(Stub(bills)))
    assert list(said(collected)) == ["113-hr-7", "113-hr-9", "113-hr-10"]


async def test_pages_overlap_and_repeats_are_kept_once(make_run, monkeypatch):
    monkeypatch.setattr(module, "MAX_BILLS", 5)
    stub = Stub(some_bills(600))
    collected = await CongressAgent().collect(await make_run(stub))
    pages = [asked for asked in stub.asked if asked.startswith("/v3/bill/113?")]
    assert len(pages) == 3
    assert len(collected.messages) == 5 and not collected.gaps


async def test_a_record_that_moves_to_the_end_hides_no_other(make_run, monkeypatch):
    monkeypatch.setattr(module, "MAX_BILLS", 5)
    stub = Stub(some_bills(600, actions=[("2013-08-01", "Introduced in House")]))
    touched = iter(range(1, 41))

    def touch(request):
        if request.url.params["offset"] == "240":
            for _, bill in zip(
                range(20), sorted(stub.bills, key=lambda b: b.update_day), strict=False
            ):
                if (next(touched, None)) is not None:
                    bill.updated = "2013-10-05"

    stub.before_list = touch
    run = await make_run(stub)
    collected = await CongressAgent().collect(run)
    kept = json.loads(next(run.state.glob("113-*/list.json")).read_bytes())
    assert not collected.gaps
    assert len(kept["bills"]) == 600


async def test_a_list_that_shifts_without_end_is_a_gap_and_no_message(make_run):
    stub = Stub(some_bills(2_000))
    pages = []

    def shuffle(request):
        pages.append(request)
        for number, bill in enumerate(stub.bills):
            bill.updated = f"20{10 + (number * 7 + len(pages) * 131) % 90:02}-01-01"

    stub.before_list = shuffle
    collected = await CongressAgent().collect(await make_run(stub))
    assert collected.messages == ()
    assert [gap.what for gap in collected.gaps] == ["bill list"]


async def test_a_second_run_asks_for_changes_alone_and_says_the_same(make_run):
    bills = [StubBill(n) for n in range(1, 20)]
    stub = Stub(bills)
    agent = CongressAgent()
    first = await agent.collect(await make_run(stub, "2013-10-07 05:10"))
    asked = len(stub.asked)
    second = await agent.collect(await make_run(stub, "2013-10-07 06:00"))
    assert [m.message_id for m in second.messages] == [m.message_id for m in first.messages]
    assert "fromDateTime=2013-09-30T00" in httpx.URL(stub.asked[asked]).query.decode().replace(
        "%3A", ":"
    )
    assert len(stub.asked) == asked + 1


async def test_what_changed_is_read_again(make_run):
    bill = StubBill(1)
    stub = Stub([bill, StubBill(2)])
    agent = CongressAgent()
    await agent.collect(await make_run(stub, "2013-10-03 05:10"))
    bill.actions = [*bill.actions, ("2013-10-03", "Passed House.")]
    collected = await agent.collect(await make_run(stub, "2013-10-04 05:10"))
    assert said(collected)["113-hr-1"].context["stage"] == "passed_house"
    assert said(collected)["113-hr-2"].context["stage"] == "introduced"


async def test_damaged_files_are_fetched_again(make_run):
    stub = Stub([StubBill(1), StubBill(2)])
    agent = CongressAgent()
    run = await make_run(stub)
    first = await agent.collect(run)
    for path in run.state.glob("113-*/**/*.json"):
        path.write_bytes(path.read_bytes()[:-9])
    second = await agent.collect(await make_run(stub))
    assert second.messages == first.messages


async def test_a_live_action_is_known_when_it_was_first_seen(make_run):
    bill = StubBill(1, actions=[("2013-09-03", "Introduced in House")])
    stub = Stub([bill])

    async def live(at):
        run = await make_run(stub, at)
        source = run.settings.sources.congress.model_copy(update={"origin": "live"})
        sources = run.settings.sources.model_copy(update={"congress": source})
        settings = run.settings.model_copy(update={"sources": sources})
        collected = await CongressAgent().collect(dataclasses.replace(run, settings=settings))
        return said(collected)["113-hr-1"].known_at

    assert await live("2013-09-09 05:10") == eastern("2013-09-09 00:00")
    bill.actions = [*bill.actions, ("2013-09-06", "Passed House.")]
    assert await live("2013-09-10 05:10") == eastern("2013-09-10 05:10")
    assert await live("2013-09-10 06:00") == eastern("2013-09-10 05:10")
    assert await live("2013-09-11 05:10") == eastern("2013-09-11 00:00")


async def test_what_is_said_on_a_later_day_is_not_read_for_an_earlier_one(make_run):
    stub = Stub([StubBill(59, kind="hjres", actions=PASSED)])
    days = ("2013-10-07 05:10", "2014-06-02 05:10")
    early, late = [
        said(await CongressAgent().collect(await make_run(stub, day)))["113-hjres-59"]
        for day in days
    ]
    assert late.context["likelihood_pass"] < early.context["likelihood_pass"]
    assert late.known_at > eastern(days[0])


@pytest.mark.parametrize("poison", ["Passed House.", "Became Public Law No: 113-99."])
async def test_what_is_known_later_changes_nothing(make_run, poison):
    def bills():
        return [
            *(StubBill(n, actions=list(PASSED)) for n in range(1, 9)),
            *(StubBill(n, kind="s") for n in range(1, 9)),
        ]

    clean = await CongressAgent().collect(await make_run(Stub(bills())))
    poisoned = bills()
    for bill in poisoned[::2]:
        bill.actions += [("2013-10-07", poison), ("2013-11-01", poison)]
    poisoned.append(StubBill(77, actions=[("2013-10-07", "Introduced in House")]))
    run = await make_run(Stub(poisoned))
    elsewhere = dataclasses.replace(run, state=run.state / "elsewhere")
    collected = await CongressAgent().collect(elsewhere)
    assert not collected.gaps
    told = [message.message_id for message in collected.messages]
    assert told == [message.message_id for message in clean.messages]


async def test_too_many_to_rebuild_is_a_gap(make_run, monkeypatch):
    monkeypatch.setattr(module, "MAX_REBUILT", 2)
    later = [*PASSED, ("2013-10-20", "Presented to President.")]
    stub = Stub([*(StubBill(n, actions=later) for n in range(1, 6)), StubBill(9)])
    collected = await CongressAgent().collect(await make_run(stub))
    assert sorted(said(collected)) == ["113-hr-1", "113-hr-2", "113-hr-9"]
    assert [str(gap) for gap in collected.gaps] == ["bills: known_later (3 not rebuilt)"]


async def test_a_malformed_item_is_counted_and_the_others_are_said(make_run):
    stub = Stub([StubBill(1), StubBill(2)])

    def spoiled(request):
        response = stub(request)
        if request.url.path != "/v3/bill/113":
            return response
        body = response.json()
        body["bills"][0]["number"] = None
        return httpx.Response(200, json=body)

    collected = await CongressAgent().collect(await make_run(spoiled))
    assert list(said(collected)) == ["113-hr-2"]
    assert collected.status == "degraded"
    assert "1 items left out" in str(collected.gaps[0])


@pytest.mark.parametrize("part", ["", "/actions", "/committees"])
async def test_a_bill_whose_facts_fail_is_said_from_the_list_with_a_gap(make_run, part):
    stub = Stub([StubBill(1, actions=PASSED), StubBill(2)])

    def failing(request):
        if request.url.path == f"/v3/bill/113/hr/1{part}":
            return httpx.Response(500)
        return stub(request)

    collected = await CongressAgent().collect(await make_run(failing))
    assert [str(gap) for gap in collected.gaps] == ["bill details: source_unavailable (113-hr-1)"]
    context = said(collected)["113-hr-1"].typed()
    assert context.stage == "passed_house"
    assert (context.committees, context.sponsor_party) == ((), None)
    assert said(collected)["113-hr-2"].typed().committees == ("House Budget Committee",)


async def test_a_rejected_key_is_a_gap_that_does_not_show_it(make_run):
    def refuse(request):
        return httpx.Response(403, json={"error": {"code": "API_KEY_INVALID", "message": "no"}})

    collected = await CongressAgent().collect(await make_run(refuse))
    assert collected.status == "failed"
    assert collected.gaps[0].reason == "source_rejected"
    assert "abcdef" not in str(collected.gaps[0])


def repeated(stub, times):
    """Give the second page as a repeat of the first, so many times."""
    left = [times]

    def handler(request):
        if request.url.path == "/v3/bill/113" and request.url.params["offset"] != "0" and left[0]:
            left[0] -= 1
            request = httpx.Request(
                "GET", request.url.copy_set_param("offset", "0"), headers=request.headers
            )
        return stub(request)

    return handler


async def test_pages_that_repeat_once_are_read_again(make_run, monkeypatch):
    monkeypatch.setattr(module, "MAX_BILLS", 5)
    run = await make_run(repeated(Stub(some_bills(400)), 1))
    collected = await CongressAgent().collect(run)
    kept = json.loads(next(run.state.glob("113-*/list.json")).read_bytes())
    assert not collected.gaps and len(kept["bills"]) == 400


async def test_pages_that_repeat_for_good_are_a_gap_and_no_message(make_run):
    collected = await CongressAgent().collect(await make_run(repeated(Stub(some_bills(400)), 99)))
    assert collected.messages == ()
    assert collected.gaps[0].reason == "source_malformed"
    assert "distinct records of 400" in str(collected.gaps[0])


SIGNED = [
    {"party": "D", "isOriginalCosponsor": True, "sponsorshipDate": "2013-09-28"},
    {"party": "R", "isOriginalCosponsor": False, "sponsorshipDate": "2013-10-03"},
    {
        "party": "R",
        "isOriginalCosponsor": True,
        "sponsorshipDate": "2013-09-28",
        "sponsorshipWithdrawnDate": "2013-10-05",
    },
]


async def test_cosponsors_count_from_the_day_they_sign_until_they_withdraw(make_run):
    told = {}
    for at in ("2013-10-02 05:10", "2013-10-04 05:10", "2013-10-06 05:10"):
        stub = Stub([StubBill(1, actions=PASSED, cosponsors=list(SIGNED))])
        context = said(await CongressAgent().collect(await make_run(stub, at)))["113-hr-1"].context
        told[at] = (context["cosponsors"], context["likelihood_introduced"])
    assert [count for count, _ in told.values()] == [2, 3, 2]
    assert len({chance for _, chance in told.values()}) == 1


async def test_a_short_title_is_scored_by_the_official_one(make_run):
    short = StubBill(1, title="Federal Reserve Act", actions=PASSED)
    plain = StubBill(1, title=short.official, actions=PASSED)
    chances = []
    for bill in (short, plain):
        run = await make_run(Stub([bill]))
        run = dataclasses.replace(run, state=run.state / str(bill is short))
        context = said(await CongressAgent().collect(run))["113-hr-1"].context
        chances.append(context["likelihood_introduced"])
    assert chances[0] == chances[1] is not None


async def test_every_chance_says_what_the_impact_is_made_of(make_run):
    bill = StubBill(1, title="To repeal the tax on banks.", actions=PASSED)
    context = said(await CongressAgent().collect(await make_run(Stub([bill]))))["113-hr-1"].context
    assert 0 < context["likelihood_introduced"] < context["likelihood_pass"] < 1
    parts = context["impact_parts"]
    assert parts["likelihood"] == context["likelihood_pass"]
    assert context["market_impact"] == pytest.approx(parts["direction"] * parts["likelihood"])


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (403, {"code": "API_KEY_INVALID", "message": "An invalid api_key."}, "CONGRESS_API_KEY"),
        (404, "Unknown resource: bill/6/cen_doc_h/73/actions", "[sources.congress]"),
    ],
)
async def test_a_refusal_says_what_to_do(make_run, status, error, advice):
    run = await make_run(lambda request: httpx.Response(status, json={"error": error}))
    (gap,) = (await CongressAgent().collect(run)).gaps
    assert gap.reason == "source_rejected" and advice in gap.detail
