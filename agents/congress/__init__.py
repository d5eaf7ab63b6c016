"""The Congress agent: pending bills that bear on markets, one ``legislation`` message each."""

from relentless.agents.congress.agent import CongressAgent

__all__ = ["CongressAgent"]
