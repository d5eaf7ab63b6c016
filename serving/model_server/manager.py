"""The versions of every served model: found, loaded, labelled, swapped and unloaded.

One thread polls the base paths and does all loading; requests only read a map that is replaced as
a whole. A version that fails never replaces one that serves. Below: ``versions.py`` (the rules),
``servable.py`` (one loaded version). Above: ``services.py``.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from relentless.serving.model_server.capi import TFError
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.servable import Servable, Session
from relentless.serving.model_server.versions import (
    Standing,
    State,
    next_action,
    scan,
)

log = structlog.get_logger(__name__)

INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNKNOWN = 3, 5, 9, 2

LOAD_RETRIES = 5
RETRY_S = 60.0
DRAIN_S = 30.0
ENDED_KEPT = 32
"""Versions in state END that a status still lists."""


@dataclass(slots=True)
class Version:
    """One version's standing, and what failed."""

    number: int
    folder: Path
    aspired: bool = True
    state: State = State.START
    code: int = 0
    message: str = ""
    attempts: int = 0
    retry_at: float = 0.0
    servable: Servable | None = None


Loader = Callable[[str, int, Path], Session]
"""Loads and admits a version: (model, version, folder); raises TFError."""


class Manager:
    """Every model of the server."""

    def __init__(self, load: Loader, clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._drain_s = DRAIN_S
        self._work = threading.RLock()
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._serving: Mapping[str, Mapping[int, Servable]] = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}

    @contextmanager
    def use(self, name: str, version: int | None = None, label: str = "") -> Iterator[Servable]:
        """Lend a version; it is not unloaded before it is given back.

        Without version and label the highest available one is lent.

        Raises:
            TFError: no such model, version or label, in TensorFlow Serving's words.
        """
        found = self._enter(name, version, label)
        try:
            yield found
        finally:
            found.leave()

    def _enter(self, name: str, version: int | None, label: str) -> Servable:
        while True:
            number = self._labelled(name, label) if label else version
            serving = self._serving.get(name) or {}
            wanted = max(serving, default=None) if number is None else number
            found = serving.get(wanted) if wanted is not None else None
            if found is None:
                asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise TFError(NOT_FOUND, f"Servable not found for request: {asked}")
            if found.enter():
                return found

    def _labelled(self, name: str, label: str) -> int:
        number = self._labels.get(name, {}).get(label)
        if number is None:
            raise TFError(INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        return number

    def status(self, name: str, version: int | None = None) -> list[Version]:
        """Give the known versions, newest first.

        Raises:
            TFError: NOT_FOUND.
        """
        known = dict(self._versions.get(name, {}))
        if version is not None:
            if version not in known:
                raise TFError(NOT_FOUND, f"Could not find version {version} of model {name}")
            return [known[version]]
        if not known:
            raise TFError(NOT_FOUND, f"Could not find any versions of model {name}")
        return [known[number] for number in sorted(known, reverse=True)]

    def available(self, name: str) -> list[int]:
        """Give the versions of a model that serve now."""
        return sorted(self._serving.get(name, {}))

    def configure(self, configs: Iterable[ModelConfig], *, labels_ahead: bool = False) -> None:
        """Replace the configuration, load what it asks for, and end models that it lacks.

        Args:
            configs: every model to serve.
            labels_ahead: a new label may name a version that is not available yet, as with
                TensorFlow Serving's ``--allow_version_labels_for_unavailable_models``.

        Raises:
            TFError: a label on a version that is not available, or a model without any version
                that loads.
        """
        with self._work:
            wanted = {config.name: config for config in configs}
            for config in wanted.values():
                self._check_labels(config, labels_ahead)
            self._configs = wanted
            self._labels = {name: dict(config.labels) for name, config in wanted.items()}
            self.poll()
            if silent := [name for name in wanted if not self.available(name)]:
                raise TFError(
                    UNKNOWN, f"Some models did not become available: {{{', '.join(silent)}}}"
                )

    def _check_labels(self, config: ModelConfig, ahead: bool) -> None:
        current = self._labels.get(config.name, {})
        serving = self.available(config.name)
        for label, number in config.labels.items():
            if number in serving or (ahead and current.get(label, number) == number):
                continue
            raise TFError(
                FAILED_PRECONDITION,
                f"Request to assign label to version {number} of model {config.name}, which is "
                "not currently available for inference",
            )

    def poll(self) -> None:
        """Look at the base paths once, and do everything that follows from them."""
        with self._work:
            for name in sorted({*self._versions, *self._configs}):
                self._aspire(name)
                while action := next_action(self._standings(name)):
                    version = self._versions[name][action.version]
                    if action.kind == "load":
                        self._bring_up(name, version)
                    else:
                        self._take_down(name, version)
                self._forget(name)

    def _standings(self, name: str) -> dict[int, Standing]:
        return {
            number: Standing(version.aspired, version.state)
            for number, version in self._versions.get(name, {}).items()
        }

    def _aspire(self, name: str) -> None:
        known = self._versions.setdefault(name, {})
        config = self._configs.get(name)
        found = scan(config.base) if config else {}
        if config is None or found is None:
            if config:
                log.warning("no base path", model=name, path=str(config.base))
                return
            found, aspired = {}, frozenset[int]()
        else:
            aspired = config.policy.aspired(found)
        for number in aspired:
            version = known.get(number)
            if version is None or (version.state is State.END and not version.aspired):
                known[number] = Version(number, found[number])
            elif version.state is State.END and self._due(version):
                version.state = State.START
        for number, version in known.items():
            version.aspired = number in aspired

    def _due(self, version: Version) -> bool:
        return 0 < version.attempts <= LOAD_RETRIES and self._clock() >= version.retry_at

    def _bring_up(self, name: str, version: Version) -> None:
        version.state, version.attempts = State.LOADING, version.attempts + 1
        try:
            session = self._load(name, version.number, version.folder)
        except Exception as error:  # Whatever it is, it must not end the versions that serve.
            version.state = State.END
            version.code = error.code if isinstance(error, TFError) else UNKNOWN
            version.message = str(error) or type(error).__name__
            version.retry_at = self._clock() + RETRY_S
            log.error("version refused", model=name, version=version.number, error=str(error))
            return
        version.servable = Servable(name, version.number, version.folder, session)
        version.code, version.message = 0, ""
        self._publish(name, version.number, version.servable)
        version.state = State.AVAILABLE
        log.info("version available", model=name, version=version.number)

    def _take_down(self, name: str, version: Version) -> None:
        version.state = State.UNLOADING
        self._publish(name, version.number, None)
        if version.servable and not version.servable.drain(self._drain_s):
            log.error("version still in use", model=name, version=version.number)
        version.servable = None
        version.state, version.attempts = State.END, 0
        log.info("version unloaded", model=name, version=version.number)

    def _publish(self, name: str, number: int, servable: Servable | None) -> None:
        versions: dict[int, Any] = {**self._serving.get(name, {}), number: servable}
        kept = {n: s for n, s in versions.items() if s is not None}
        self._serving = {**self._serving, name: kept}

    def _forget(self, name: str) -> None:
        known = self._versions[name]
        ended = sorted(n for n, v in known.items() if v.state is State.END and not v.aspired)
        for number in ended[: max(0, len(ended) - ENDED_KEPT)]:
            del known[number]

    def close(self, drain_s: float) -> None:
        """Unload everything, waiting at most ``drain_s`` for each version's last requests."""
        with self._work:
            self._drain_s = drain_s
            self._configs = {}
            self.poll()
