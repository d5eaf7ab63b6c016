"""The FRED agent: eighteen series of interest rates, spreads, prices and employment."""

from relentless.agents.fred.agent import FredAgent

__all__ = ["FredAgent"]
