"""Options flow: chains of several vendors, what they measure, and the agent that says it."""

from relentless.agents.options.agent import OptionsFlowAgent

__all__ = ["OptionsFlowAgent"]
