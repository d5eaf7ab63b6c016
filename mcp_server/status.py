"""The state of the whole, as one small object."""

import os
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relentless import __version__
from relentless.configs.clock import Clock
from relentless.mcp_server.audit import Audit
from relentless.mcp_server.auth import KeyVerification
from relentless.mcp_server.contexts import ContextStore, unmet
from relentless.mcp_server.control import LeaseControl
from relentless.mcp_server.registry import Registry
from relentless.models.fold import FOLD_VERSION
from relentless.proto.base import iso
from relentless.store.ports import Journal


class HubStatus:
    """Satisfies ``tools.ports.Status``."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        mode: str,
        contexts: ContextStore,
        registry: Registry,
        control: LeaseControl,
        verification: KeyVerification,
        audit: Audit,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._mode = mode
        self._contexts = contexts
        self._registry = registry
        self._control = control
        self._verification = verification
        self._audit = audit
        self._started = time.monotonic()
        self._versions = {
            "relentless": __version__,
            "mcp": version("mcp"),
            "fold": FOLD_VERSION,
        }

    def status(self) -> dict[str, Any]:
        """Give the state of the whole, small."""
        head = self._journal.head()
        return {
            "versions": self._versions,
            "clock": {
                "mode": self._mode,
                "market_time": iso(self._clock.now()),
                "speed": self._clock.speed,
            },
            "halt": self._control.view().model_dump(mode="json", exclude={"predictors"}),
            "journal": {"head": head.sequence, "chain": head.chain.hex()},
            "contexts": self._context(),
            "agents": self._agents(),
            "predictors": self._control.predictors(),
            "refused_keys": self._verification.refused,
            "denied": {"known_callers": self._audit.denied, "not_kept": self._audit.lost},
            "uptime_s": round(time.monotonic() - self._started, 3),
            "rss_mb": round(rss_bytes() / 2**20, 1),
        }

    def _context(self) -> dict[str, Any]:
        latest = self._contexts.latest
        if latest is None:
            return {"built": self._contexts.built, "latest": None}
        return {
            "built": self._contexts.built,
            "latest": {
                "context_id": latest.context_id,
                "trading_date": latest.trading_date.isoformat(),
                "as_of": iso(latest.as_of),
                "unmet": sorted(unmet(latest, self._contexts.rules)),
            },
        }

    def _agents(self) -> dict[str, Any]:
        agents = self._registry.agents()
        return {
            "registered": len(agents),
            "alive": sum(agent.alive for agent in agents),
            "last_runs": dict(
                Counter(agent.last_run.status for agent in agents if agent.last_run is not None)
            ),
        }


def rss_bytes() -> int:
    """Give this process's resident memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
