"""The freshness table: how old each value may be, read from ``freshness.toml``.

The fold takes a :class:`Freshness` and reads no file; :func:`load` belongs to the processes. The
table's digest is part of every context's identity.
"""

import hashlib
import json
import tomllib
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FRESHNESS_TOML = Path(__file__).resolve().parent / "freshness.toml"

Hours = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FeatureRule(BaseModel):
    """What one feature needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    required: bool = False
    """A late value of it causes another build."""
    max_age_h: Hours | None = None
    """For features that are not read from series."""


class Freshness(BaseModel):
    """The whole table. Frozen; the same table has the same digest on every machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon_days: Annotated[int, Field(ge=1, le=60)]
    bills_counted: Annotated[int, Field(ge=1)]
    series_max_age_h: dict[str, Hours | Literal["standing"]]
    features: dict[str, FeatureRule]

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over the table's values."""
        body = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()

    @cached_property
    def required(self) -> frozenset[str]:
        """The features whose late arrival causes another build."""
        return frozenset(name for name, rule in self.features.items() if rule.required)

    def series_max_age(self, series_id: str) -> timedelta | None:
        """Give the age up to which a series' value is fresh; None where it never goes stale.

        A series that the table does not name is held to the shortest age in it.
        """
        hours = self.series_max_age_h.get(series_id)
        if hours == "standing":
            return None
        if hours is None:
            hours = min(h for h in self.series_max_age_h.values() if not isinstance(h, str))
        return timedelta(hours=hours)

    def feature_max_age(self, name: str) -> timedelta:
        """Give the age up to which a feature that is not read from series is fresh.

        Raises:
            KeyError: the table has no age for it.
        """
        rule = self.features.get(name)
        if rule is None or rule.max_age_h is None:
            raise KeyError(f"freshness.toml has no max_age_h for the feature {name}")
        return timedelta(hours=rule.max_age_h)


def load(path: Path = FRESHNESS_TOML) -> Freshness:
    """Read the table from a TOML file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no TOML, or breaks the table's shape.
    """
    return Freshness.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
