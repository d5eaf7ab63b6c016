"""The economic calendar's agent: which releases come when, and what they said before."""

from relentless.agents.economic.agent import EconomicAgent

__all__ = ["EconomicAgent"]
