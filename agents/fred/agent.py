"""Read every series of the release table as of a moment: one ``rates`` message for each.

Each series stands alone: one that cannot be read is a gap, and the others go on. The release table
(``configs/releases.py``) says what was known when; the measures say what the history makes of it.
"""

import asyncio
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.fred.measures import WINDOW_DAYS, measure
from relentless.agents.fred.observations import SOURCE, read_history
from relentless.agents.http import Source
from relentless.configs.clock import EASTERN
from relentless.configs.releases import SERIES, ReleaseTable
from relentless.proto.contexts import Origin, Rates, Topic
from relentless.proto.messages import ContextMessage

LOOKBACK_DAYS: Final = 3 * 365
"""Asked for, as dates of observations and as the real-time period: the window, twelve months
before the observation before, and late releases. FRED serves no more than three years of the ICE
BofA series, and at most 2,000 vintages an answer: a series of every day has 1,096."""
CENTRAL: Final = ZoneInfo("America/Chicago")
"""FRED's own day: a vintage of tomorrow is refused."""
AT_ONCE: Final = 6
"""Requests in flight."""
VINTAGE_NOTE: Final = "vintage: recorded later"


class FredAgent(Agent):
    """The Federal Reserve Bank of St. Louis's economic data.

    It runs before the context of 05:30, again before that of 08:05, and at 09:20: VIXCLS comes
    about 08:41 and the monthly reports at 08:30, so the context of 09:25 would miss both.
    """

    name = "FredAgent"
    command = "fred"
    topic = Topic.RATES
    schedule = ("05:15", "08:00", "09:20")
    timeout_s = 90.0

    def __init__(self, releases: ReleaseTable | None = None) -> None:
        self._releases = releases or release_table()

    async def collect(self, run: Run) -> Collected:
        """Read all series, at most six at a time."""
        source = run.source(SOURCE, key_param="api_key")
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(series_id: str) -> ContextMessage | Gap:
            async with slots:
                try:
                    return await self._series(run, source, series_id)
                except Exception as error:
                    return Gap.of(series_id, error)

        results = await asyncio.gather(*(one(series_id) for series_id in SERIES))
        return Collected(
            messages=tuple(r for r in results if isinstance(r, ContextMessage)),
            gaps=tuple(r for r in results if isinstance(r, Gap)),
        )

    async def _series(self, run: Run, source: Source, series_id: str) -> ContextMessage | Gap:
        as_of = run.as_of.astimezone(EASTERN)
        today = run.as_of.astimezone(CENTRAL).date()
        opens = today - timedelta(days=LOOKBACK_DAYS)
        answer = await source.get_json(
            "/fred/series/observations",
            {
                "series_id": series_id,
                "file_type": "json",
                "realtime_start": opens.isoformat(),
                "realtime_end": today.isoformat(),
                "observation_start": opens.isoformat(),
            },
        )
        history = read_history(
            series_id,
            answer.value,
            as_of=as_of,
            opens=opens,
            known_at=lambda day, vintage: self._releases.known_at(series_id, day, vintage),
        )
        if history.known_at is None:
            return Gap(series_id, "empty", f"no value known by {as_of.isoformat()}")
        found = measure(
            history.observations, monthly=self._releases.frequency(series_id) == "Monthly"
        )
        day, value = found.newest
        recorded = answer.origin is Origin.RECORDED
        return self.compose(
            run,
            Rates(
                series_id=series_id,
                value=value,
                units=self._releases.units(series_id),
                previous=found.previous,
                change=found.change,
                change_days=found.change_days,
                change_3m=found.change_3m,
                change_12m_pct=found.change_12m_pct,
                previous_change_3m=found.previous_change_3m,
                previous_change_12m_pct=found.previous_change_12m_pct,
                zscore=found.zscore,
                percentile=found.percentile,
                window_days=WINDOW_DAYS,
                window_count=found.window_count,
            ),
            observed_at=datetime(day.year, day.month, day.day, tzinfo=EASTERN),
            known_at=history.known_at,
            evidence=[
                answer.evidence(
                    f"FRED series/observations {series_id}",
                    upstream_timestamp=_realtime(answer.value),
                    note=VINTAGE_NOTE if recorded else None,
                )
            ],
        )


def _realtime(body: dict[str, object]) -> str | None:
    """Give the date of the vintage, as FRED wrote it."""
    stated = body.get("realtime_end")
    return stated[:40] if isinstance(stated, str) else None


@lru_cache(maxsize=1)
def release_table() -> ReleaseTable:
    """Give the shipped release table, read once."""
    return ReleaseTable.load()
