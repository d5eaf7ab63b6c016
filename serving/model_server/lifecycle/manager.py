"""The versions of every served model: found, loaded, labelled, swapped and unloaded.

Loading and unloading happen in threads of the manager's own, one model beside another; requests
only read a map that is replaced as a whole. A version that fails never replaces one that serves.
Below: ``versions.py`` and ``rules.py`` (what to do), ``servable.py`` (one loaded version). Above:
``core.py``.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from relentless.serving.model_server.codes import INVALID_ARGUMENT, NOT_FOUND, UNKNOWN
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.draining import Drain
from relentless.serving.model_server.lifecycle.looking import Lookout
from relentless.serving.model_server.lifecycle.rules import Rules, check_labels, unavailable_text
from relentless.serving.model_server.lifecycle.servable import Servable, Session
from relentless.serving.model_server.lifecycle.versions import Action, Standing, State, next_action
from relentless.serving.model_server.runtime.capi import TFError

log = structlog.get_logger(__name__)

UNLOAD_PATIENCE_S = 1.0
"""How long a new configuration waits for the last requests of what it ends."""
ENDED_KEPT = 32
"""Versions in state END that a status still lists."""

_COMING = (State.START, State.LOADING, State.UNLOADING)
"""The states of a version that is wanted and about to serve; it may have to leave first."""


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
    retry_at: float | None = None
    """When a failed load is tried again; None while nothing waits."""
    moved: Path | None = None
    """Another folder that the same number lies in by now, to be taken over."""
    servable: Servable | None = None


Loader = Callable[[str, int, Path], Session]
"""Loads and admits a version: (model, version, folder); raises TFError."""


class Manager:
    """Every model of the server. Safe for concurrent use."""

    def __init__(
        self,
        load: Loader,
        clock: Callable[[], float] = time.monotonic,
        rules: Rules = Rules(),  # noqa: B008 - frozen
    ) -> None:
        self._load = load
        self._clock = clock
        self._rules = rules
        self._drain = Drain()
        self._lookout = Lookout()
        self._turn = threading.RLock()
        """Held by one change of the configuration, or one look at the base paths, at a time."""
        self._state = threading.RLock()
        """Held for moments only, never while a model loads."""
        self._pool = ThreadPoolExecutor(rules.workers, thread_name_prefix="model-loader")
        self._busy: dict[str, Future[None]] = {}
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._serving: Mapping[str, Mapping[int, Servable]] = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}

    @contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
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

    def _enter(self, name: str, version: int | None, label: str | None) -> Servable:
        while True:
            number = version if label is None else self._labelled(name, label)
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
        with self._state:
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

    def configured(self) -> frozenset[str]:
        """Give the models of the present configuration."""
        return frozenset(self._configs)

    def configure(self, configs: Iterable[ModelConfig]) -> None:
        """Replace the configuration, load what it asks for, and end models that it lacks.

        Raises:
            TFError: a label on a version that is not available, and nothing has changed; or a new
                model without any version that loads, and everything else has.
        """
        new = self.apply(configs)
        if missing := self.missing(new):
            raise TFError(UNKNOWN, unavailable_text(missing))

    def apply(self, configs: Iterable[ModelConfig], *, look: bool = True) -> set[str]:
        """Do as ``configure`` does, and give the new models instead of judging them.

        Args:
            configs: every model to serve.
            look: look at the base paths now.

        Raises:
            TFError: a label on a version that is not available; nothing has changed.
        """
        wanted = {config.name: config for config in configs}
        with self._turn:
            with self._state:
                for name, config in wanted.items():
                    current = self._labels.get(name, {})
                    check_labels(name, config.labels, current, self.available(name), self._rules)
                before, self._configs = self._configs, wanted
                self._labels = {name: dict(config.labels) for name, config in wanted.items()}
            gone = before.keys() - wanted.keys()
            changed = {name for name, config in wanted.items() if before.get(name) != config}
            names = gone | changed
            self._look(names if look else gone)
        self._settle(names)
        return wanted.keys() - before.keys()

    def missing(self, names: Iterable[str]) -> list[tuple[str, int | None, int, str]]:
        """Give those of these models that do not serve: model, failed version, code, words."""
        found: list[tuple[str, int | None, int, str]] = []
        with self._state:
            for name in sorted(names):
                if self.available(name):
                    continue
                failed = [v for v in self._versions.get(name, {}).values() if v.code]
                newest = max(failed, key=lambda v: v.number, default=None)
                why = (newest.number, newest.code, newest.message) if newest else (None, 0, "")
                found.append((name, *why))
        return found

    def given_up(self, name: str) -> bool:
        """Tell whether a model has versions, none serves, and none will be tried again."""
        with self._state:
            known = [v for v in self._versions.get(name, {}).values() if v.aspired]
            return bool(known) and all(v.state is State.END for v in known)

    def poll(self, *, patient: bool = True) -> None:
        """Look at the base paths once, and do everything that follows from them.

        Args:
            patient: return when it is done; else when it has begun.
        """
        with self._turn:
            with self._state:
                names = {*self._versions, *self._configs}
            self._look(names)
        begun = self._set_to_work(names)
        if patient:
            wait(begun)
            wait(self._drain.pending())

    def _settle(self, names: set[str]) -> None:
        """See these models' loads done, and wait a little for the unloads."""
        since = time.monotonic()
        while left := self._set_to_work(names) or self._drain.pending():
            wait(left, timeout=0.05)
            if self._loading(names):
                since = time.monotonic()
            elif time.monotonic() - since > UNLOAD_PATIENCE_S:
                return

    def _loading(self, names: Iterable[str]) -> bool:
        with self._state:
            return any(
                version.aspired
                and version.retry_at is None
                and (version.moved is not None or version.state in _COMING)
                for name in names
                for version in self._versions.get(name, {}).values()
            )

    def retry(self) -> None:
        """Try the loads again that failed and whose time has come, without waiting for them."""
        with self._state:
            due = {n for n, known in self._versions.items() if self._due(known.values())}
        self._set_to_work(due)

    def _due(self, versions: Iterable[Version]) -> bool:
        now = self._clock()
        return any(v.retry_at is not None and v.retry_at <= now for v in versions)

    def _look(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            with self._state:
                config = self._configs.get(name)
            found = self._lookout.look(config) if config else {}
            if found is None:
                continue
            with self._state:
                if self._configs.get(name) is config:
                    self._aspire(name, found, config.policy.aspired(found) if config else set())

    def _aspire(self, name: str, found: Mapping[int, Path], aspired: Iterable[int]) -> None:
        known = self._versions.setdefault(name, {})
        aspired = set(aspired)
        for number in aspired:
            version = known.get(number)
            if version is None or (
                version.state is State.END and (not version.aspired or not version.code)
            ):
                known[number] = Version(number, found[number])
            elif version.folder != found[number] and version.moved != found[number]:
                self._move(version, found[number])
        for number, version in known.items():
            version.aspired = number in aspired
            if not version.aspired:
                version.moved = None
                if version.retry_at is not None:
                    version.retry_at = None
                    if version.servable is None:
                        version.state = State.END

    def _move(self, version: Version, folder: Path) -> None:
        """The same number lies in another folder: take it from there."""
        version.attempts, version.retry_at = 0, None
        if version.servable is not None:
            version.moved = folder
            return
        version.folder = folder
        if version.state is State.END or version.code:
            version.state = State.START

    def _set_to_work(self, names: Iterable[str]) -> list[Future[None]]:
        """Give every model's work to a thread, where it has any and none is at it."""
        with self._state:
            for name in sorted(names):
                if name not in self._busy and self._next(name):
                    self._busy[name] = self._pool.submit(self._work_off, name)
            return [self._busy[name] for name in names if name in self._busy]

    def _next(self, name: str) -> Action | None:
        known = self._versions.get(name, {})
        now = self._clock()
        for version in known.values():
            if version.retry_at is not None and version.retry_at <= now:
                version.retry_at = None
                if version.servable is None:
                    version.state = State.START
            if version.moved and version.servable and version.retry_at is None:
                return Action("replace", version.number)
        return next_action({n: Standing(v.aspired, v.state) for n, v in known.items()})

    def _work_off(self, name: str) -> None:
        while True:
            with self._state:
                action = self._next(name)
                if action is None:
                    self._forget(name)
                    del self._busy[name]
                    return
                version = self._versions[name][action.version]
                if action.kind == "load":
                    version.state = State.LOADING
                elif action.kind == "unload":
                    version.state = State.UNLOADING
            if action.kind == "unload":
                self._take_down(name, version)
            else:
                self._bring_up(name, version)

    def _bring_up(self, name: str, version: Version) -> None:
        """Load a version, or the folder that it has moved to; one that left meanwhile is let go."""
        with self._state:
            folder = version.moved or version.folder
            version.attempts += 1
        try:
            session = self._load(name, version.number, folder)
        except Exception as error:  # Whatever it is, it must not end the versions that serve.
            self._refuse(name, version, error)
            return
        with self._state:
            before = version.servable
            version.servable = Servable(name, version.number, folder, session)
            version.folder = folder
            if version.moved == folder:
                version.moved = None
            version.code, version.message, version.attempts = 0, "", 0
            wanted = version.aspired or before is not None
            self._publish(name, version.number, version.servable if wanted else None)
            version.state = State.AVAILABLE if wanted else State.UNLOADING
        if not wanted:
            self._take_down(name, version)
            return
        words = f"Successfully loaded servable version {{name: {name} version: {version.number}}}"
        log.info(words, model=name, version=version.number)
        if before:
            self._drain.let_go(before)

    def _refuse(self, name: str, version: Version, error: Exception) -> None:
        log.error("version refused", model=name, version=version.number, error=str(error))
        with self._state:
            again = version.aspired and version.attempts <= self._rules.retries
            version.retry_at = self._clock() + self._rules.retry_s if again else None
            if version.servable is not None:
                if not again:
                    version.folder, version.moved = version.moved or version.folder, None
                return
            version.code = error.code if isinstance(error, TFError) else UNKNOWN
            version.message = str(error) or type(error).__name__
            version.state = State.LOADING if again else State.END

    def _take_down(self, name: str, version: Version) -> None:
        with self._state:
            self._publish(name, version.number, None)
            servable, version.servable = version.servable, None
            version.attempts, version.moved, version.retry_at = 0, None, None
        if servable:
            self._drain.let_go(servable, lambda: self._ended(name, version))

    def _ended(self, name: str, version: Version) -> None:
        with self._state:
            version.state = State.START if version.aspired else State.END
        log.info("version unloaded", model=name, version=version.number)
        if version.aspired:
            self._set_to_work([name])

    def _publish(self, name: str, number: int, servable: Servable | None) -> None:
        versions: dict[int, Any] = {**self._serving.get(name, {}), number: servable}
        kept = {n: s for n, s in versions.items() if s is not None}
        self._serving = {**self._serving, name: kept}

    def _forget(self, name: str) -> None:
        known = self._versions.get(name, {})
        ended = sorted(n for n, v in known.items() if v.state is State.END and not v.aspired)
        for number in ended[: max(0, len(ended) - ENDED_KEPT)]:
            del known[number]

    def close(self, drain_s: float) -> bool:
        """Unload all, within ``drain_s`` for a version's last requests; tell whether they left."""
        self._drain.seconds = drain_s
        self.apply(())
        self._pool.shutdown()
        return self._drain.shutdown()
