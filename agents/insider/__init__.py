"""The insider agent: open-market trades of insiders, from Forms 4."""

from relentless.agents.insider.agent import InsiderAgent

__all__ = ["InsiderAgent"]
