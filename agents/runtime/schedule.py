"""When an agent is due: times of day or cron lines, in exchange time, on exchange days.

The mathematics is APScheduler's ``CronTrigger``; this adds the exchange's days and knows nothing
of sleeping. A nominal time is what a run is *for*, whenever it physically happens.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

from apscheduler.triggers.cron import CronTrigger

from relentless.configs import sessions
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput, InvalidSettings

_TICK: Final = timedelta(microseconds=1)
_SEARCH_DAYS: Final = 400


def is_trading_day(day: date) -> bool:
    """Say whether the exchange trades; past its table's end every weekday counts."""
    try:
        return sessions.is_session(day)
    except InvalidInput:
        return day.weekday() < 5


class Schedule:
    """The nominal times of one agent."""

    def __init__(
        self, times: Sequence[str], is_session: Callable[[date], bool] = is_trading_day
    ) -> None:
        """Read times of day ("05:15") and five-field cron lines ("*/30 9-15 * * mon-fri").

        Raises:
            InvalidSettings: a line that is neither.
        """
        self._is_session = is_session
        self.lines = tuple(_line(text) for text in times)
        self._triggers = tuple(_trigger(line) for line in self.lines)

    def after(self, moment: datetime) -> datetime | None:
        """Give the first nominal time after a moment; None where there is none in a year."""
        found = [t for t in (self._next(trigger, moment) for trigger in self._triggers) if t]
        return min(found, default=None)

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Give the nominal times in (after, until], in order."""
        moment = self.after(after)
        while moment is not None and moment <= until:
            yield moment
            moment = self.after(moment)

    def today(self, now: datetime) -> list[datetime]:
        """Give the nominal times of the market date of ``now``, up to ``now``."""
        midnight = datetime.combine(now.astimezone(EASTERN).date(), time(), EASTERN)
        return list(self.between(midnight - _TICK, now))

    def _next(self, trigger: CronTrigger, moment: datetime) -> datetime | None:
        moment = moment.astimezone(EASTERN) + _TICK
        end = moment + timedelta(days=_SEARCH_DAYS)
        while moment < end:
            due: datetime | None = trigger.get_next_fire_time(None, moment)
            if due is None or self._is_session(due.date()):
                return due
            moment = datetime.combine(due.date() + timedelta(days=1), time(), EASTERN)
        return None


def _line(text: str) -> str:
    """Give a cron line for a time of day, and a cron line as it stands."""
    hour, colon, minute = text.partition(":")
    if not colon:
        return text
    try:
        at = time(int(hour), int(minute))
    except ValueError:
        raise InvalidSettings(f"{text!r} is no time of day; write it as 05:15") from None
    return f"{at.minute} {at.hour} * * mon-fri"


def _trigger(line: str) -> CronTrigger:
    """Read a cron line. Days of the week go by name: numbers mean other days elsewhere."""
    fields = line.split()
    if len(fields) == 5 and any(sign.isdigit() for sign in fields[4]):
        raise InvalidSettings(f"{line!r}: write days of the week by name (mon-fri)")
    try:
        return CronTrigger.from_crontab(line, timezone=EASTERN)
    except ValueError as error:
        raise InvalidSettings(f"{line!r} is no cron line: {error}") from None
