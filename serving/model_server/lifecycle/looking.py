"""Looks at base paths, and says once, not at every look, that nothing is there."""

from collections.abc import Mapping
from pathlib import Path

import structlog

from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import scan

log = structlog.get_logger(__name__)

HINT = "a version is a folder named by a number, as in /1/"


class Lookout:
    """Remembers what it has said. For one thread at a time."""

    def __init__(self) -> None:
        self._said: dict[Path, str] = {}

    def look(self, config: ModelConfig) -> Mapping[int, Path] | None:
        """Give the version folders of a model by number, or None without its base path."""
        found = scan(config.base)
        if found:
            self._said.pop(config.base, None)
            return found
        words, why = "no versions under the base path", HINT
        if found is None:
            words, why = "no base path", _why(config.base)
        if self._said.get(config.base) != words + why:
            self._said[config.base] = words + why
            log.warning(words, model=config.name, path=str(config.base), hint=why)
        return found


def _why(base: Path) -> str:
    """Say why a folder cannot be read; whoever may not read it should not look for it."""
    try:
        next(base.iterdir(), None)
    except FileNotFoundError:
        return HINT
    except OSError as error:
        return error.strerror or str(error)
    return HINT
