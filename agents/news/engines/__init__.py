"""The engines that read stories: Claude, and one that needs neither a key nor the network."""

from pathlib import Path

from relentless.agents.news.engines.offline import OfflineEngine
from relentless.agents.news.reading import Engine
from relentless.configs.settings import Settings

__all__ = ["choose"]


def choose(settings: Settings, state: Path, live: bool) -> Engine:
    """Give the engine that the settings name."""
    return OfflineEngine()
