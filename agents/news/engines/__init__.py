"""The engines that read stories: Claude, and one that needs neither a key nor the network."""

from pathlib import Path

from relentless.agents.news.engines.claude import ClaudeEngine
from relentless.agents.news.engines.offline import OfflineEngine
from relentless.agents.news.reading import Engine
from relentless.configs.settings import Settings
from relentless.proto.errors import InvalidSettings

__all__ = ["choose"]


def choose(settings: Settings, state: Path, live: bool) -> Engine:
    """Give the engine that the settings name; nothing is loaded before its first story.

    Args:
        settings: ``news.engine``: "auto" is Claude in a live run with a key, else offline.
        state: The agent's state folder.
        live: The run's clock is the wall's.

    Raises:
        InvalidSettings: Claude is named and there is no key.
    """
    offline = OfflineEngine()
    key = settings.anthropic_api_key
    wanted = settings.news.engine
    if wanted == "claude" and key is None:
        raise InvalidSettings("news.engine is claude: set ANTHROPIC_API_KEY, or choose offline")
    if key is None or wanted == "offline" or (wanted == "auto" and not live):
        return offline
    return ClaudeEngine(settings.news, key, state, offline)
