"""What Claude may cost in a day: tokens and dollars, counted in a state file by UTC day.

A request is booked before it is sent, at the most that it can cost, and settled by what the answer
says was used. One whose use is unknown stays booked.
"""

import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relentless.configs.claude import Used, price_of

_log = structlog.get_logger()


class Spent(BaseModel):
    """The state file: one day's count."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    day: str
    tokens: int = Field(default=0, ge=0)
    usd: float = Field(default=0.0, ge=0)
    requests: int = Field(default=0, ge=0)


class Budget:
    """Counts one agent's use. Not for two processes at once."""

    def __init__(
        self,
        path: Path,
        model: str,
        tokens: int,
        usd: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open.

        Args:
            path: The state file; made on the first booking.
            model: Its price counts.
            tokens: Of a day.
            usd: Of a day.
            now: Wall time.
        """
        self._path = path
        self._price = price_of(model)
        self._tokens = tokens
        self._usd = usd
        self._now = now

    def spent(self) -> Spent:
        """Give today's count. A damaged file counts as a day that is spent."""
        today = self._now().astimezone(UTC).date().isoformat()
        try:
            spent = Spent.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Spent(day=today)
        except (OSError, ValidationError) as error:
            _log.error("news_budget_damaged", file=self._path.name, kind=type(error).__name__)
            spent = Spent(day=today, tokens=self._tokens, usd=self._usd)
            self._write(spent)
        return spent if spent.day == today else Spent(day=today)

    def book(self, most: Used) -> bool:
        """Book a request's most; False, and nothing booked, where the day has not so much left."""
        spent = self.spent()
        tokens, usd = spent.tokens + sum(most), spent.usd + most.usd(self._price)
        if tokens > self._tokens or usd > self._usd:
            return False
        self._write(Spent(day=spent.day, tokens=tokens, usd=usd, requests=spent.requests + 1))
        return True

    def settle(self, most: Used, used: Used) -> None:
        """Put what was used in the place of what was booked."""
        spent = self.spent()
        self._write(
            spent.model_copy(
                update={
                    "tokens": max(0, spent.tokens - sum(most) + sum(used)),
                    "usd": max(0.0, spent.usd - most.usd(self._price) + used.usd(self._price)),
                }
            )
        )

    def _write(self, spent: Spent) -> None:
        """Replace the file whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(spent.model_dump(), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
