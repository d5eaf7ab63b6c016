"""What every contract stands on: the frozen model, bounded types, canonical JSON. No I/O."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9.\-]{0,11}$")]
Short = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2_000)]
Unit = Annotated[float, Field(ge=0, le=1)]
Score = Annotated[float, Field(ge=-1, le=1)]


class Frozen(BaseModel):
    """Base of every contract here."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True
    )


def canonical_json(value: Any) -> bytes:
    """Give JSON that is the same bytes on every machine: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def explain(error: ValidationError, limit: int = 8) -> str:
    """Put a validation error into short lines: place, what is wrong, what was given."""
    lines = []
    for item in error.errors(include_url=False)[:limit]:
        place = ".".join(str(part) for part in item["loc"]) or "message"
        given = "" if item["type"] == "missing" else f" (got {_shown(item['input'])!r})"
        lines.append(f"{place}: {item['msg']}{given}")
    hidden = error.error_count() - limit
    return "; ".join(lines) + (f"; and {hidden} more" if hidden > 0 else "")


def _shown(value: Any) -> str:
    try:
        return str(value)[:60]
    except ValueError:  # an integer of more digits than Python writes
        return type(value).__name__


def iso(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC, ending with Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
