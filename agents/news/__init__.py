"""The news agent: stories, and what they mean for which asset."""

from relentless.agents.news.agent import NewsAnalysisAgent

__all__ = ["NewsAnalysisAgent"]
