"""Messages: who may say what, stored once, read in order, acknowledged."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from relentless.mcp_server.server import Hub
from relentless.proto.contexts import Topic
from relentless.proto.errors import Conflict, Forbidden, InvalidInput, InvalidMessage
from relentless.store.ports import Role

from .helpers import START, news, principal

NEWS = principal("NewsAnalysisAgent")
TRADER = principal("TradingAgent")
FRED = principal("FredAgent")


async def test_the_example_message_is_stored_as_it_stands(hub: Hub) -> None:
    await hub.registry.register(NEWS, [Topic.NEWS], None, None)
    (receipt,) = await hub.exchange.publish(NEWS, [news()])
    page = await hub.exchange.read(NEWS, topic=Topic.NEWS, inbox=False, after=0, limit=10)
    (stored,) = page.messages
    assert stored.sequence == receipt.sequence == page.head == page.next_after
    assert stored.message["topic"] == "news"
    assert stored.message["message_id"] == receipt.message_id
    assert stored.message["known_at"] == "2013-10-07T09:25:00Z"
    assert news().items() <= stored.message.items()


async def test_the_example_message_is_in_the_next_context(hub: Hub) -> None:
    await hub.exchange.publish(NEWS, [news()])
    context = await hub.contexts.build(None)
    assert context.news_sentiment == 1.0
    assert context.symbols["AAPL"].news_sentiment == 1.0


async def test_without_registering_the_keys_only_topic_is_meant(hub: Hub) -> None:
    await hub.exchange.publish(NEWS, [news()])
    page = await hub.exchange.read(NEWS, topic=Topic.NEWS, inbox=False, after=0, limit=10)
    assert len(page.messages) == 1


@pytest.mark.parametrize("topics", [(Topic.NOTE,), (Topic.NEWS, Topic.INSIDER, Topic.NOTE)])
async def test_a_sender_of_no_or_several_topics_means_a_note(
    hub: Hub, topics: tuple[Topic, ...]
) -> None:
    sender = principal("Somebody", Role.AGENT, *topics)
    await hub.exchange.publish(sender, [news(source_agent="Somebody")])
    page = await hub.exchange.read(NEWS, topic=Topic.NOTE, inbox=False, after=0, limit=10)
    assert len(page.messages) == 1


@pytest.mark.promise("P2")
async def test_the_same_id_is_stored_once_and_refused_with_another_body(hub: Hub) -> None:
    message = news(message_id="m-1", topic="news")
    (first,) = await hub.exchange.publish(NEWS, [message])
    (again,) = await hub.exchange.publish(NEWS, [message])
    assert (again.sequence, again.duplicate) == (first.sequence, True)
    with pytest.raises(Conflict):
        other = message | {"context": message["context"] | {"confidence": 0.1}}
        await hub.exchange.publish(NEWS, [other])
    page = await hub.exchange.read(NEWS, topic=None, inbox=False, after=0, limit=10)
    assert len(page.messages) == 1


async def test_one_id_belongs_to_its_sender_alone(hub: Hub) -> None:
    await hub.exchange.publish(NEWS, [news(message_id="m-1", topic="news")])
    note = news(message_id="m-1", topic="note", source_agent="FredAgent", context={"x": 1})
    (receipt,) = await hub.exchange.publish(FRED, [note])
    assert not receipt.duplicate


async def test_one_bad_message_stores_none_of_its_batch(hub: Hub) -> None:
    before = hub.journal.head()
    with pytest.raises(InvalidMessage):
        await hub.exchange.publish(NEWS, [news(topic="news"), news(topic="news", context={})])
    assert hub.journal.head() == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source_agent": "FredAgent"}, Forbidden),
        ({"topic": "rates", "context": {"series_id": "DGS10", "value": 2.6}}, Forbidden),
        ({"topic": "daily_context"}, InvalidMessage),
        ({"topic": "signal"}, InvalidMessage),
        ({"known_at": "2013-10-07T09:30:00Z", "topic": "news"}, InvalidMessage),
        ({"context": {"x": "y" * 20_000}, "topic": "note"}, InvalidMessage),
        ({"timestamp": "2025-09-27T10:30:00"}, InvalidMessage),
        ({"version": "2.0"}, InvalidMessage),
        ({"extra": 1}, InvalidMessage),
    ],
)
async def test_what_may_not_be_said_is_refused(
    hub: Hub, change: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await hub.exchange.publish(NEWS, [news(**change)])


async def test_the_hubs_topics_are_the_hubs_alone(hub: Hub) -> None:
    notice = {"context_id": "0" * 64, "trading_date": "2013-10-07", "ok": 1}
    message = news(topic="daily_context", context=notice | {"as_of": "2013-10-07T09:00:00Z"})
    with pytest.raises(Forbidden, match="daily_context"):
        await hub.exchange.publish(NEWS, [message])


async def test_an_inbox_holds_what_is_addressed_to_its_agent(hub: Hub) -> None:
    await hub.exchange.publish(NEWS, [news(topic="news"), news(topic="news", target_agent="*")])
    page = await hub.exchange.read(TRADER, topic=None, inbox=True, after=None, limit=10)
    assert [stored.message["target_agent"] for stored in page.messages] == ["TradingAgent"]
    empty = await hub.exchange.read(NEWS, topic=None, inbox=True, after=None, limit=10)
    assert empty.messages == []


async def test_acknowledgement_moves_the_inbox_and_never_goes_back(hub: Hub) -> None:
    receipts = await hub.exchange.publish(NEWS, [news(topic="news", message_id=c) for c in "abc"])
    second = receipts[1].sequence
    assert await hub.exchange.acknowledge(TRADER, second) == second
    assert await hub.exchange.acknowledge(TRADER, 1) == second
    page = await hub.exchange.read(TRADER, topic=None, inbox=True, after=None, limit=10)
    assert [stored.message["message_id"] for stored in page.messages] == ["c"]
    everything = await hub.exchange.read(TRADER, topic=None, inbox=True, after=0, limit=10)
    assert len(everything.messages) == 3
    with pytest.raises(InvalidInput):
        await hub.exchange.acknowledge(TRADER, 10_000)


async def test_pages_follow_each_other_without_a_gap(hub: Hub) -> None:
    sent = [f"m{n}" for n in range(7)]
    await hub.exchange.publish(NEWS, [news(topic="news", message_id=name) for name in sent])
    seen, after = [], 0
    for _ in range(4):
        page = await hub.exchange.read(NEWS, topic=Topic.NEWS, inbox=False, after=after, limit=2)
        seen += [stored.message["message_id"] for stored in page.messages]
        after = page.next_after
    assert seen == sent


async def test_a_page_ends_before_it_grows_too_large(hub: Hub) -> None:
    heavy = {"text": "x" * 15_000}
    batch = [news(topic="note", context=heavy, message_id=f"m{n}") for n in range(40)]
    await hub.exchange.publish(NEWS, batch)
    page = await hub.exchange.read(NEWS, topic=Topic.NOTE, inbox=False, after=0, limit=100)
    assert 0 < len(page.messages) < 40
    assert len(json.dumps([stored.message for stored in page.messages])) < 250_000
    rest = await hub.exchange.read(
        NEWS, topic=Topic.NOTE, inbox=False, after=page.next_after, limit=100
    )
    assert rest.messages[0].sequence == page.next_after + 1


async def test_a_waiting_reader_gets_what_is_published_meanwhile(hub: Hub) -> None:
    waiting = asyncio.create_task(
        hub.exchange.read(NEWS, topic=Topic.NEWS, inbox=False, after=0, limit=5, wait_s=30)
    )
    note = news(topic="note", source_agent="FredAgent", context={"x": 1})
    await hub.exchange.publish(FRED, [note])
    assert not waiting.done()
    await hub.exchange.publish(NEWS, [news(topic="news")])
    async with asyncio.timeout(20):
        assert len((await waiting).messages) == 1


async def test_a_reader_ahead_of_the_journal_is_not_sent_back(hub: Hub) -> None:
    waiting = asyncio.create_task(
        hub.exchange.read(NEWS, topic=None, inbox=False, after=1_000, limit=5, wait_s=0.05)
    )
    await asyncio.sleep(0)
    await hub.exchange.publish(NEWS, [news(topic="news")])
    async with asyncio.timeout(20):
        assert (await waiting).messages == []


async def test_a_wait_that_nothing_ends_gives_an_empty_page(hub: Hub) -> None:
    page = await hub.exchange.read(
        NEWS, topic=Topic.NEWS, inbox=False, after=0, limit=5, wait_s=0.01
    )
    assert page.messages == []


async def test_a_release_time_of_the_past_is_kept(hub: Hub) -> None:
    past = START - timedelta(days=3)
    await hub.exchange.publish(NEWS, [news(topic="news", known_at=past.isoformat())])
    page = await hub.exchange.read(NEWS, topic=Topic.NEWS, inbox=False, after=0, limit=1)
    assert datetime.fromisoformat(str(page.messages[0].message["known_at"])) == past
