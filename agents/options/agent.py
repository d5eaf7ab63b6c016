"""The agent: one message for each of the run's underlyings.

Above: the runner. Beside it: the vendors, their parsers, and what a chain measures.
"""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.options import alpaca, measures
from relentless.agents.options.chain import Chain, previous_session
from relentless.agents.options.greeks import complete
from relentless.agents.options.history import Basket, History, Kept
from relentless.agents.options.history import Session as Past
from relentless.agents.options.measures import Blocks, Sides
from relentless.agents.options.score import parts, score
from relentless.agents.options.smile import Smile, smile
from relentless.agents.options.vendors import VENDORS, Session, pages, preferred
from relentless.agents.runtime.answer import Answer
from relentless.configs.clock import EASTERN
from relentless.proto.contexts import OptionsFlow, Topic
from relentless.proto.messages import ContextMessage

AT_ONCE: Final = 4
SESSIONS: Final = 20
"""Earlier sessions that the bars are asked for."""
MAX_TRADE_PAGES: Final = 3
SERVED_LATE: Final = timedelta(minutes=2)
"""A request takes a moment: a file made so soon after the run's time may still hold only what was
known at it, by its own newest trade."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of one underlying."""

    chain: Chain
    answers: tuple[Answer, ...]
    gaps: tuple[Gap, ...]


class OptionsFlowAgent(Agent):
    """Option chains of the run's symbols.

    Before the open it says the session before, final; during the session, what public data show
    with their delay of 15 minutes.
    """

    name = "OptionsFlowAgent"
    command = "options"
    topic = Topic.OPTIONS_FLOW
    schedule = ("05:20", "09:20", "*/30 10-16 * * mon-fri")
    timeout_s = 240.0

    async def collect(self, run: Run) -> Collected:
        """Read every underlying, four at a time."""
        slots = asyncio.Semaphore(AT_ONCE)
        session = Session(run)

        async def one(symbol: str) -> tuple[ContextMessage | None, list[Gap]]:
            async with slots:
                try:
                    return await self._underlying(session, symbol)
                except Exception as error:
                    return None, [Gap.of(symbol, error)]

        results = await asyncio.gather(*(one(symbol) for symbol in run.settings.predictor.symbols))
        return Collected(
            messages=tuple(message for message, _ in results if message is not None),
            gaps=tuple(gap for _, gaps in results for gap in gaps),
        )

    async def _underlying(
        self, session: Session, symbol: str
    ) -> tuple[ContextMessage | None, list[Gap]]:
        gaps: list[Gap] = []
        for vendor in preferred(session.run):
            try:
                chain, answers = await VENDORS[vendor][1](session, symbol)
            except Exception as error:
                gaps.append(Gap.of(f"{symbol} {vendor}", error))
                continue
            if (gap := _unfit(session.run, symbol, chain)) is not None:
                gaps.append(gap)
                continue
            message, more = await self._message(session, chain, answers)
            return message, [*gaps, *more]
        return None, gaps

    async def _message(
        self, session: Session, chain: Chain, answers: tuple[Answer, ...]
    ) -> tuple[ContextMessage | None, list[Gap]]:
        run, symbol = session.run, chain.underlying
        upstream = run.source_settings(VENDORS[chain.vendor][0]).url
        history = History(run.state / "options", symbol, f"{chain.vendor} {upstream}")
        kept = await asyncio.to_thread(history.read)
        gaps: list[Gap] = []
        chain, shape = await asyncio.to_thread(_shaped, chain)
        used = list(answers)
        basis, today, earlier = await self._compared(session, chain, kept, gaps, used)
        blocks = await self._blocks(session, chain, gaps, used)
        context = describe(chain, shape, kept, basis, today, earlier, blocks)
        if context is None:
            return None, [*gaps, Gap(f"{symbol} {chain.vendor}", "empty", "too little was traded")]
        if chain.closed:
            traded = measures.volume(chain) or Sides(0, 0)
            kept.sessions[chain.session] = Past(traded.calls, traded.puts, shape.skew)
            await asyncio.to_thread(history.write, kept)
        message = self.compose(
            run,
            context,
            known_at=chain.known_at,
            observed_at=chain.observed_at,
            evidence=[
                answer.evidence(
                    f"{answer_source(answer, chain)} {symbol}",
                    upstream_timestamp=chain.made_at.isoformat(),
                )
                for answer in used[:16]
            ],
        )
        return message, gaps

    async def _compared(
        self, session: Session, chain: Chain, kept: Kept, gaps: list[Gap], used: list[Answer]
    ) -> tuple[str | None, Sides | None, dict[date, Sides]]:
        """Give what today is compared with: the own history once it is long, else the bars."""
        own = kept.volumes_before(chain.session)
        if len(own) >= SESSIONS:
            return "own_history", measures.volume(chain), own
        symbols = measures.basket(chain)
        if not symbols:
            return None, None, {}
        basket = kept.baskets.get(chain.session)
        if basket is None or basket.symbols != symbols:
            try:
                volumes, answers = await self._bars(session, chain, symbols)
            except Exception as error:
                gaps.append(Gap.of(f"{chain.underlying} volume history", error))
                return None, None, {}
            basket = Basket(symbols, {day: (s.calls, s.puts) for day, s in volumes.items()})
            kept.baskets[chain.session] = basket
            used += answers
        earlier = {day: Sides(*sides) for day, sides in basket.volumes.items()}
        return "basket", measures.of_basket(chain, symbols), earlier

    async def _bars(
        self, session: Session, chain: Chain, symbols: tuple[str, ...]
    ) -> tuple[dict[date, Sides], list[Answer]]:
        last = previous_session(chain.session)
        first = last
        for _ in range(SESSIONS - 1):
            first = previous_session(first)
        query: dict[str, str | int] = {
            "symbols": ",".join(symbols),
            "timeframe": "1Day",
            "start": first.isoformat(),
            "end": last.isoformat(),
            "limit": 10_000,
        }
        answers = await pages(session.alpaca(), "/v1beta1/options/bars", query)
        wanted = set(symbols)
        rows = {
            (symbol, day): (symbol, day, traded)
            for answer in answers
            for symbol, day, traded in alpaca.bars(answer.value)
            if symbol in wanted and first <= day <= last
        }
        return measures.by_session(rows.values()), answers

    async def _blocks(
        self, session: Session, chain: Chain, gaps: list[Gap], used: list[Answer]
    ) -> Blocks | None:
        """Count block trades among the contracts that are busy enough to hold one."""
        symbols = measures.busiest(chain)
        if not symbols:
            return Blocks(0, 0) if measures.volume(chain) is not None else None
        start = datetime.combine(chain.session, time(9, 30), EASTERN)
        end = chain.known_at - timedelta(minutes=15)
        query: dict[str, str | int] = {
            "symbols": ",".join(symbols),
            "start": start.isoformat(),
            "end": end.isoformat(),
            "limit": 10_000,
        }
        try:
            path = "/v1beta1/options/trades"
            answers = await pages(session.alpaca(), path, query, MAX_TRADE_PAGES)
            found = [p for answer in answers for p in alpaca.prints(answer.value)]
        except Exception as error:
            gaps.append(Gap.of(f"{chain.underlying} block trades", error))
            return None
        used += answers
        wanted = set(symbols)
        return measures.blocks(p for p in found if p.symbol in wanted and start <= p.at <= end)


def _unfit(run: Run, symbol: str, chain: Chain) -> Gap | None:
    """Say why a chain cannot be used as of the run's moment."""
    what = f"{symbol} {chain.vendor}"
    late = not chain.closed and chain.made_at > run.as_of + SERVED_LATE
    if chain.known_at > run.as_of or late:
        detail = f"made at {chain.made_at.isoformat()}, of the session of {chain.session}"
        return Gap(what, "known_later", detail)
    traded = measures.volume(chain)
    if traded is None or traded.total <= 0:
        return Gap(what, "empty", f"no volume on {chain.session}")
    return None


def _shaped(chain: Chain) -> tuple[Chain, Smile]:
    chain = complete(chain)
    return chain, smile(chain)


def describe(
    chain: Chain,
    shape: Smile,
    kept: Kept,
    basis: str | None,
    today: Sides | None,
    earlier: dict[date, Sides],
    blocks: Blocks | None,
) -> OptionsFlow | None:
    """Put everything that is known of an underlying into a context; None without a score."""
    traded = measures.volume(chain)
    held = measures.open_interest(chain)
    opened = measures.opening(chain)
    skews = [s.skew for s in kept.before(chain.session).values() if s.skew is not None]
    found = parts(
        balance=traded.balance if traded else None,
        ratio_change=measures.ratio_change(today, earlier) if today else None,
        opening=opened.balance if opened else None,
        skew_change=measures.zscore(shape.skew, skews),
    )
    result = score(found)
    if traded is None or result is None:
        return None
    unusual = measures.unusual(today, earlier) if today and chain.closed else None
    ratio = traded.ratio
    read = len({c.expiry for c in chain.contracts})
    return OptionsFlow(
        symbol=chain.underlying,
        score=result,
        put_call_volume=_rounded(ratio),
        put_call_open_interest=_rounded(held.ratio if held else None),
        open_interest_date=chain.open_interest_date,
        implied_volatility=_rounded(shape.atm),
        skew=_rounded(shape.skew),
        skew_moneyness=_rounded(shape.skew_moneyness),
        term=_rounded(shape.term),
        unusual_volume=_rounded(unusual),
        compared_with=basis if earlier else None,
        opening_contracts=opened.contracts if opened else None,
        block_trades=blocks.trades if blocks else None,
        block_volume=blocks.contracts if blocks else None,
        volume=int(traded.total),
        session=chain.session,
        session_closed=chain.closed,
        vendor=chain.vendor,
        expirations=read,
        expirations_listed=chain.expirations_listed,
        parts=found,
        summary=_summary(chain, traded, ratio, unusual),
    )


def _summary(chain: Chain, traded: Sides, ratio: float | None, unusual: float | None) -> str:
    said = [f"{traded.calls:,.0f} calls and {traded.puts:,.0f} puts traded on {chain.session}"]
    if not chain.closed:
        said[0] += f" by {chain.data_at.astimezone(EASTERN):%H:%M}"
    if ratio is not None:
        said.append(f"put/call {ratio:.2f}")
    if unusual is not None:
        said.append(f"volume {unusual:+.1f} standard deviations from its usual")
    return f"{chain.underlying}: " + ", ".join(said)


def _rounded(value: float | None) -> float | None:
    """Round to six decimals: the last bits of exp and log differ between machines."""
    return None if value is None else round(value, 6)


def answer_source(answer: Answer, chain: Chain) -> str:
    """Name what an answer is, for the evidence."""
    kinds = ("bars", "trades", "snapshots")
    found = next((k for k in kinds if f"/v1beta1/options/{k}" in answer.url), None)
    return f"alpaca option {found}" if found else f"{chain.vendor} option chain"
