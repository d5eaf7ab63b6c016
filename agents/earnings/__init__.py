"""The earnings agent: which companies report when, and which have reported."""

from relentless.agents.earnings.agent import EarningsAgent

__all__ = ["EarningsAgent"]
