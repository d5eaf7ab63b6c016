"""The SEC agent: what companies filed with EDGAR, one ``filing`` message each."""

from relentless.agents.sec.agent import SecAgent

__all__ = ["SecAgent"]
