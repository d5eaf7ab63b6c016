"""How one version comes to serve: its manifest, its session (``runtime``), its warm-up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from relentless.models.manifest import MANIFEST, verify
from relentless.proto.errors import ModelInvalid
from relentless.serving.model_server.codes import FAILED_PRECONDITION, PERMISSION_DENIED
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.lifecycle.warmup import WARMUP_FILE, admit
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.runtime.recording import Recorder
from relentless.serving.model_server.runtime.session import SERVE_TAGS, SavedModelSession
from relentless.serving.model_server.runtime.session_config import SessionConfig
from relentless.serving.model_server.timed import timed_load, timed_warmup

log = structlog.get_logger(__name__)

Wrap = Callable[[str, int, Path, Session], Session]
"""Puts something around a loaded session: (model, version, folder, session)."""


def bare(name: str, version: int, folder: Path, session: Session) -> Session:
    """Give the session as it is."""
    return session


@dataclass(frozen=True, slots=True)
class Loading:
    """What every version is loaded with."""

    required: Sequence[str] = ()
    """Signatures without which a version does not serve."""
    tags: Sequence[str] = SERVE_TAGS
    config: SessionConfig = SessionConfig()  # noqa: RUF009 - frozen
    warm_up: bool = True
    iterations: int = 1
    check_methods: bool = False
    wrap: Wrap = bare
    metrics: Metrics | None = None
    recorder: Recorder | None = None

    def load(self, name: str, version: int, folder: Path) -> Session:
        """Load a version and let it pass its checks and its warm-up.

        A version with a manifest is held to it: its files, the features that it was trained on, and
        finite answers.

        Raises:
            TFError: it must not serve.
        """
        try:
            own = (folder / MANIFEST).exists()
        except PermissionError as error:
            raise TFError(PERMISSION_DENIED, f"{folder}; {error.strerror}") from error
        if own:
            try:
                verify(folder)
            except ModelInvalid as error:
                raise TFError(FAILED_PRECONDITION, str(error)) from error
        with timed_load(self.metrics, folder):
            session: Session = SavedModelSession(
                folder,
                self.config.for_folder(folder),
                self.tags,
                recorder=self.recorder,
                label=f"{name}/{version}",
            )
        try:
            # Before the warm-up, which goes the way of the requests that it stands for.
            session = self.wrap(name, version, folder, session)
            warmed = self.warm_up and (folder / WARMUP_FILE).exists()
            with timed_warmup(self.metrics if warmed else None, folder):
                count = admit(
                    session,
                    folder,
                    version,
                    self.required,
                    iterations=self.iterations if self.warm_up else 0,
                    check=self.check_methods,
                    finite=own or bool(self.required),
                    metrics=self.metrics,
                )
        except BaseException:
            session.close()
            raise
        log.info("version warmed up", model=name, version=version, requests=count)
        return session
