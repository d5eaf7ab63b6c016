"""What Claude's models cost, and counting it against a budget. Pure.

The news agent's engine and ``relentless ask`` both pay by this table.
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple


class Price(NamedTuple):
    """US dollars for a million tokens."""

    input: float
    output: float

    @property
    def cache_write(self) -> float:
        """Of tokens written to the prompt cache for five minutes: a quarter more."""
        return self.input * 1.25

    @property
    def cache_read(self) -> float:
        """Of tokens read from the prompt cache: a tenth."""
        return self.input * 0.1


PRICES: Final = {
    "claude-haiku-4-5": Price(1.0, 5.0),
    "claude-sonnet-4-6": Price(3.0, 15.0),
    "claude-sonnet-5": Price(2.0, 10.0),
    "claude-opus-4": Price(5.0, 25.0),
    "claude-opus-5": Price(5.0, 25.0),
    "claude-fable-5": Price(10.0, 50.0),
}
"""List prices as published in autumn 2026, by the beginning of the model's name."""
DEAREST: Final = Price(15.0, 75.0)
"""What a model that the table does not name is taken to cost: no list price was higher."""


def price_of(model: str) -> Price:
    """Give a model's price; a model that is not known counts as the dearest."""
    known = (name for name in PRICES if model.startswith(name))
    return PRICES.get(max(known, key=len, default=""), DEAREST)


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
        price = price_of(self.model)
        parts = (
            (_count(usage, "input_tokens"), price.input),
            (_count(usage, "output_tokens"), price.output),
            (_count(usage, "cache_creation_input_tokens"), price.cache_write),
            (_count(usage, "cache_read_input_tokens"), price.cache_read),
        )
        self.tokens += sum(count for count, _ in parts)
        self.usd += sum(count * each for count, each in parts) / 1e6

    def spent(self) -> bool:
        """Say whether either budget is used up."""
        return self.tokens >= self.most_tokens or self.usd >= self.most_usd

    def summary(self) -> str:
        """Say what was used, in words."""
        sure = "" if price_of(self.model) is not DEAREST else " at most"
        return f"{self.model}: {self.tokens:,} tokens, {self.usd:.4f} USD{sure}"


def _count(usage: Any, name: str) -> int:
    return int(getattr(usage, name, 0) or 0)
