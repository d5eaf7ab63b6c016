"""What Claude's models cost, and counting what was used against a budget. Pure.

The news agent's engine and ``relentless ask`` both pay by this table.
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple


class Price(NamedTuple):
    """US dollars for a million tokens; cache writes are those kept for five minutes."""

    input: float
    output: float
    cache_write: float
    cache_read: float


PRICES: Final = {
    "claude-haiku-4-5": Price(1.0, 5.0, 1.25, 0.10),
    "claude-sonnet-4-6": Price(3.0, 15.0, 3.75, 0.30),
    "claude-sonnet-5": Price(2.0, 10.0, 2.50, 0.20),
    "claude-opus-4": Price(5.0, 25.0, 6.25, 0.50),
    "claude-opus-5": Price(5.0, 25.0, 6.25, 0.50),
    "claude-fable-5": Price(10.0, 50.0, 12.50, 1.0),
}
"""List prices of October 2026, by the beginning of the model's name; the longest that fits."""
DEAREST: Final = Price(15.0, 75.0, 18.75, 1.50)
"""What a model that the table does not name is taken to cost: errs high."""


def price_of(model: str) -> Price:
    """Give a model's price; a model that is not known counts as the dearest."""
    known = (name for name in PRICES if model.startswith(name))
    return PRICES.get(max(known, key=len, default=""), DEAREST)


class Used(NamedTuple):
    """Tokens of one request."""

    input: int
    output: int
    cache_write: int = 0
    cache_read: int = 0

    @classmethod
    def of(cls, usage: Any) -> "Used":
        """Read the ``usage`` of an answer of the Messages API."""
        return cls(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_creation_input_tokens or 0,
            usage.cache_read_input_tokens or 0,
        )

    def usd(self, price: Price) -> float:
        """Give what they cost."""
        return sum(count * each for count, each in zip(self, price, strict=True)) / 1e6


@dataclass
class Spending:
    """What was used, in tokens and dollars, against the most that may be."""

    model: str
    most_tokens: int
    most_usd: float
    tokens: int = field(default=0)
    usd: float = field(default=0.0)

    def take(self, usage: Any) -> None:
        """Count the ``usage`` of one answer of the Messages API."""
        used = Used.of(usage)
        self.tokens += sum(used)
        self.usd += used.usd(price_of(self.model))

    def spent(self) -> bool:
        """Say whether either budget is used up."""
        return self.tokens >= self.most_tokens or self.usd >= self.most_usd

    def summary(self) -> str:
        """Say what was used, in words."""
        sure = "" if price_of(self.model) is not DEAREST else " at most"
        return f"{self.model}: {self.tokens:,} tokens, {self.usd:.4f} USD{sure}"
