"""The data agents: bodies a second of each parser, a morning of all eight, and a day of messages.

The bodies are the sandbox's own answers on the shipped day, in the services' wire formats. Agents
and sandbox are two processes, as in a run; the hub's exchange, journal and fold are the real ones.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from lxml import etree

from bench.harness import Figure, Section, alternate, percentile, timed
from bench.processes import plan, started
from relentless.agents.base import Agent
from relentless.agents.congress.reading import items_of, read_listed
from relentless.agents.earnings.alphavantage import read_table
from relentless.agents.earnings.nasdaq import read_day
from relentless.agents.economic.webpage import read_body
from relentless.agents.edgar.current import read_feed
from relentless.agents.fred.observations import read_rows
from relentless.agents.http import Upstream
from relentless.agents.insider.form4 import parse_form4
from relentless.agents.news.alpaca import parse_page
from relentless.agents.news.rss import parse_rss
from relentless.agents.options import cboe
from relentless.agents.registry import discover
from relentless.agents.runner import make_run
from relentless.agents.runtime.answer import Answer
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.server import build as build_hub
from relentless.proto.contexts import AGENT_TOPICS, Origin, Topic
from relentless.sandbox import form4
from relentless.sandbox.server import build as build_sandbox
from relentless.sandbox.world import World
from relentless.store.keys import default_topics
from relentless.store.ports import Principal, Role

AS_OF = datetime(2013, 10, 7, 5, 25, tzinfo=EASTERN)
KEY = "0" * 32
FILINGS, STORIES, BATCH = 10_000, 5_000, 100
ROUNDS, TIMES = 5, 20


@dataclass(frozen=True)
class Parser:
    """One parser, a body for it, and the bare parse that it stands on."""

    name: str
    body: bytes
    parse: Callable[[bytes], object]
    bare: Callable[[bytes], object]


def _xml(body: bytes) -> object:
    return etree.fromstring(body, etree.XMLParser(resolve_entities=False))


async def _bodies(app: Any) -> dict[str, bytes]:
    """Ask the sandbox for one body of each kind."""
    fred = {"series_id": "DGS10", "file_type": "json", "api_key": KEY}
    fred |= {"realtime_start": "2012-01-01", "observation_start": "2011-09-01"}
    calendar = {"ob": "rd", "od": "asc", "vs": "2013-10-07", "ve": "2013-10-07"}
    pair = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
    asked: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
        "bills": ("/v3/bill/113", {"format": "json", "api_key": "k", "limit": "250"}, {}),
        "observations": ("/fred/series/observations", fred, {}),
        "calendar": ("/fred_web/releases/calendar", calendar, {"X-Requested-With": "x"}),
        "feed": (
            "/sec_archive/cgi-bin/browse-edgar",
            {"action": "getcurrent", "type": "8-K", "count": "100", "output": "atom"},
            {},
        ),
        "chain": ("/cboe/api/global/delayed_quotes/options/AAPL.json", {}, {}),
        "news": (
            "/alpaca_data/v1beta1/news",
            {"limit": "50", "start": "2013-10-01T00:00:00Z", "sort": "desc"},
            pair,
        ),
        "table": (
            "/alphavantage/query",
            {"function": "EARNINGS_CALENDAR", "horizon": "3month", "apikey": "k"},
            {},
        ),
        "reports": ("/nasdaq/api/calendar/earnings", {"date": "2013-10-08"}, {}),
        "rss": (
            "/cnbc/rs/search/combinedcms/view.xml",
            {"partnerId": "wrss01", "id": "100003114"},
            {},
        ),
    }
    found = {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://box.test") as client:
        for name, (path, query, headers) in asked.items():
            answer = await client.get(
                path, params=query, headers={"User-Agent": "Mozilla/5.0 (bench)", **headers}
            )
            answer.raise_for_status()
            found[name] = answer.content
    return found


def parsers() -> list[Parser]:
    """Give every parser with a body of the shipped day."""
    clock = ManualClock(AS_OF)
    app = build_sandbox(Settings(), clock)
    body = asyncio.run(_bodies(app))
    settings = Settings()
    library: Any = None
    world = World(library, library, clock, settings.sandbox.seed, settings.predictor.symbols)
    paper = form4.filed_on(world, date(2013, 10, 3))[0].document

    def bills(raw: bytes) -> object:
        items, _ = items_of(json.loads(raw), "bills")
        return [read_listed(item, 113) for item in items]

    def feed(raw: bytes) -> object:
        return read_feed("sec_archive", Answer(raw, "", "0" * 64, Origin.SYNTHETIC, {}))

    return [
        Parser("Congress, list of 250 bills", body["bills"], bills, json.loads),
        Parser(
            "FRED, two years of observations",
            body["observations"],
            lambda raw: read_rows("DGS10", json.loads(raw), opens=date(2012, 1, 1)),
            json.loads,
        ),
        Parser("FRED's calendar page", body["calendar"], read_body, json.loads),
        Parser("EDGAR, feed page of 100", body["feed"], feed, _xml),
        Parser("Form 4", paper, parse_form4, _xml),
        Parser("RSS, CNBC", body["rss"], lambda raw: parse_rss("cnbc", raw), _xml),
        Parser(
            "Alpaca news page", body["news"], lambda raw: parse_page(json.loads(raw)), json.loads
        ),
        Parser(
            "Cboe chain", body["chain"], lambda raw: cboe.read("AAPL", json.loads(raw)), json.loads
        ),
        Parser(
            "Alpha Vantage table", body["table"], read_table, lambda raw: raw.decode().split(",")
        ),
        Parser(
            "Nasdaq day",
            body["reports"],
            lambda raw: read_day(json.loads(raw), date(2013, 10, 8)),
            json.loads,
        ),
    ]


def parse_speed() -> Section:
    """Measure every parser against the bare parse of the same body."""
    figures = []
    for parser in parsers():
        parser.parse(parser.body)
        reference, samples = alternate(
            lambda parser=parser: timed(lambda: parser.bare(parser.body), TIMES),
            lambda parser=parser: timed(lambda: parser.parse(parser.body), TIMES),
            ROUNDS,
        )
        middle = percentile(samples, 0.5)
        figures.append(
            Figure(
                f"{parser.name}, {len(parser.body) / 1e3:,.0f} kB",
                middle / 1e3,
                "ms",
                percentile(samples, 0.99) / 1e3,
                "bare parse",
                percentile(reference, 0.5) / 1e3,
                percentile(reference, 0.99) / 1e3,
                f"{1e6 / middle:,.0f} bodies a second",
            )
        )
    return Section(
        "Agents: parsers",
        "One body into typed facts; the reference parses the same body (JSON, XML, or a split) and "
        "checks nothing. The RSS parser is feedparser's, which is lenient and slow.",
        figures,
    )


async def _collect(settings: Settings, folder: Path, agents: list[type[Agent]]) -> float:
    """Run agents side by side from an empty state; give the wall seconds until the last ended."""
    fresh = settings.model_copy(
        update={"paths": settings.paths.model_copy(update={"state": folder})}
    )
    clock = ManualClock(AS_OF)
    async with Upstream(folder / "raw") as upstream:
        runs = [(kind(), make_run(kind(), fresh, clock, upstream, AS_OF)) for kind in agents]
        begun = time.perf_counter()
        done = await asyncio.gather(*(agent.collect(run) for agent, run in runs))
        taken = time.perf_counter() - begun
    if not all(collected.messages for collected in done):
        raise RuntimeError("an agent said nothing: the sandbox does not answer")
    return taken


def _morning(settings: Settings, agents: list[type[Agent]]) -> float:
    with tempfile.TemporaryDirectory(prefix="relentless-bench-") as folder:
        return asyncio.run(_collect(settings, Path(folder), agents))


def morning() -> Section:
    """Measure a first morning of all eight agents against the slowest one alone."""
    every = discover()
    alone: dict[str, list[float]] = {kind.name: [] for kind in every}
    together = []
    with plan() as made, started(["-m", "relentless", "sandbox"], Path(made.file)):
        _morning(made.settings, every)
        for _ in range(3):
            for kind in every:
                alone[kind.name].append(_morning(made.settings, [kind]))
            together.append(_morning(made.settings, every))
    middle = {name: percentile(samples, 0.5) for name, samples in alone.items()}
    slowest = max(middle, key=lambda name: middle[name])
    figures = [
        Figure(
            "eight agents, first morning",
            percentile(together, 0.5),
            "s",
            max(together),
            f"{slowest} alone",
            middle[slowest],
            max(alone[slowest]),
        )
    ]
    figures += [
        Figure(f"{name} alone", taken, "s", max(alone[name])) for name, taken in middle.items()
    ]
    return Section(
        "Agents: a morning",
        "All eight agents side by side from an empty state against the sandbox in another process, "
        "until the last one has collected; p99 is the worst of three. Live, rate limits decide: "
        "Congress is allowed 80 requests a minute and a first sync asks some 1,300 times.",
        figures,
    )


def _principal(name: str) -> Principal:
    return Principal(name, Role.AGENT, f"key-of-{name}", default_topics(name, Role.AGENT))


def _day_of_messages() -> list[tuple[Principal, list[dict[str, Any]]]]:
    """Give a busy day's filings and stories in batches, as their agents publish them."""
    start = AS_OF.astimezone(UTC) - timedelta(hours=20)
    owners = {topic: name for name, topic in AGENT_TOPICS.items()}

    def message(topic: Topic, at: int, context: dict[str, Any]) -> dict[str, Any]:
        known = (start + timedelta(seconds=4 * at)).isoformat()
        return {
            "timestamp": known,
            "known_at": known,
            "source_agent": owners[topic],
            "topic": topic.value,
            "message_id": f"{topic.value}-{at}",
            "context": context,
        }

    filings = [
        message(
            Topic.FILING,
            at,
            {
                "accession": f"0009900001-13-{at:06d}",
                "cik": 1_000 + at % 4_000,
                "form": "8-K",
                "items": ["2.02", "9.01"],
                "accepted_at": start.isoformat(),
                "summary": "Results of Operations and Financial Condition",
            },
        )
        for at in range(FILINGS)
    ]
    symbols = Settings().predictor.symbols
    stories = [
        message(
            Topic.NEWS,
            at,
            {
                "asset": symbols[at % len(symbols)],
                "sentiment": ("positive", "neutral", "negative")[at % 3],
                "confidence": 0.8,
                "score": (at % 21 - 10) / 10,
                "headline": f"A synthetic headline, number {at}",
                "summary": f"A synthetic story, number {at}.",
                "story_id": f"st-{at}",
            },
        )
        for at in range(STORIES)
    ]
    made = []
    for topic, bodies in ((Topic.FILING, filings), (Topic.NEWS, stories)):
        caller = _principal(owners[topic])
        made += [(caller, bodies[at : at + BATCH]) for at in range(0, len(bodies), BATCH)]
    return made


async def _published(folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Publish a day through the exchange; give ms a batch, ms of a first and of a next build."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        paths={"state": folder},  # type: ignore[arg-type]
        clock={"mode": "day", "start": AS_OF, "speed": 1.0, "epoch": 0.0},  # type: ignore[arg-type]
    )
    clock = ManualClock(AS_OF.astimezone(UTC))
    batches, first, following = [], [], []
    async with build_hub(settings, clock=clock) as hub:
        for caller, bodies in _day_of_messages():
            begun = time.perf_counter()
            await hub.exchange.publish(caller, bodies)
            batches.append((time.perf_counter() - begun) * 1e3)
        for samples in (first, following, following, following):
            begun = time.perf_counter()
            await hub.contexts.build(None)
            samples.append((time.perf_counter() - begun) * 1e3)
            clock.move_to(clock.now() + timedelta(minutes=1))
    return batches, first, following


def volume() -> Section:
    """Measure a day of 10,000 filings and 5,000 stories, kept durably, and the builds after it."""
    with tempfile.TemporaryDirectory(prefix="relentless-bench-") as folder:
        batches, first, following = asyncio.run(_published(Path(folder)))
    total = FILINGS + STORIES
    return Section(
        "Agents: a day of messages",
        f"{FILINGS:,} filings and {STORIES:,} stories through the hub's exchange in batches of "
        f"{BATCH}, each durable before the next; then the daily context is built. Synthetic.",
        [
            Figure(
                f"{total:,} messages, durable",
                sum(batches) / 1e3,
                "s",
                note=f"{total / sum(batches) * 1e3:,.0f} a second; a day has 86,400 s",
            ),
            Figure("a batch of 100", percentile(batches, 0.5), "ms", percentile(batches, 0.99)),
            Figure(
                "a build once it was read",
                percentile(following, 0.5),
                "ms",
                max(following),
                "the first build after it",
                first[0],
                note="the first reads the day from the journal",
            ),
        ],
    )
