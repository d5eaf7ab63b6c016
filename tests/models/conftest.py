"""Fixtures of the fold's tests."""

from collections.abc import Callable
from datetime import datetime

import pytest

from relentless.configs.freshness import Freshness, load
from relentless.models.fold import fold
from relentless.proto.daily import DailyContext
from relentless.proto.messages import ContextMessage

from .fold_messages import AS_OF, TRADING_DATE, Numbered


@pytest.fixture(scope="session")
def rules() -> Freshness:
    """The shipped freshness table."""
    return load()


@pytest.fixture
def folded(rules: Freshness) -> Callable[..., DailyContext]:
    """Fold messages as of ``AS_OF``, everything in the journal read."""

    def run(
        messages: list[ContextMessage] | Numbered, *, as_of: datetime = AS_OF, head: int = 10**6
    ) -> DailyContext:
        pairs = [
            pair if isinstance(pair, tuple) else (index, pair)
            for index, pair in enumerate(messages, start=1)
        ]
        return fold(pairs, as_of=as_of, trading_date=TRADING_DATE, head=head, rules=rules)

    return run
