"""The manifest beside every trained version: what it takes, what it is made of, how it was judged.

``assets.extra/manifest.json`` of a version's folder. The backends check it before a version serves:
a model whose tick features or context vector are not the running code's is refused, and so is one
whose files differ from their digests.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.feature_spec import TICK_FEATURES, feature_digest
from relentless.models.weights import HEAD_NAMES
from relentless.proto.errors import ModelInvalid

EXTRA = "assets.extra"
MANIFEST = Path(EXTRA) / "manifest.json"
WEIGHTS = Path(EXTRA) / "weights.npz"
GOLDEN = Path(EXTRA) / "golden.npz"
"""Pinned probes and answers: ``features`` [N, F], ``context_vector`` [C], ``heads`` [N, 4]."""
MODEL_NAME = "relentless_financial"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Shapes(BaseModel):
    """Sizes of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: int
    context: int
    embedding: int
    hidden: int
    deep: int


class Manifest(BaseModel):
    """What is known of one version. Deterministic: it holds no time of writing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    feature_digest: Digest
    tick_features: tuple[str, ...]
    context_vector: tuple[str, ...]
    shapes: Shapes
    heads: dict[str, str]
    """What each head says, in the order of the columns."""
    horizon: int
    """Price ticks ahead that the heads speak of."""
    unused_features: tuple[str, ...]
    """Inputs that training never saw vary; their weights are zero and they change nothing."""
    unused_context: tuple[str, ...]
    training: dict[str, Any]
    metrics: dict[str, Any]
    libraries: dict[str, str]
    files: dict[str, Digest]
    """SHA-256 of every other file of the version, by its path in the folder."""


def load_manifest(folder: Path) -> Manifest:
    """Read a version's manifest.

    Raises:
        ModelInvalid: it is absent, or breaks its shape.

    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelInvalid(f"{path} is no manifest of a model version: {error}") from error


def verify(folder: Path) -> Manifest:
    """Read a version's manifest and hold the running code and the files against it.

    Raises:
        ModelInvalid: with what differs.

    """
    manifest = load_manifest(folder)
    for what, found, wanted in (
        ("tick features (their digest)", manifest.feature_digest, feature_digest()),
        ("tick features", manifest.tick_features, TICK_FEATURES),
        ("context vector", manifest.context_vector, CONTEXT_VECTOR),
        ("heads", tuple(manifest.heads), HEAD_NAMES),
    ):
        if found != wanted:
            raise ModelInvalid(
                f"{folder}: the model's {what} are not this program's; train it anew with "
                "`relentless train`"
            )
    try:
        found_files = digests(folder)
    except OSError as error:  # taken away meanwhile, or not readable
        raise ModelInvalid(f"{folder}: {error}") from error
    for path in sorted(found_files.keys() | manifest.files.keys()):
        if found_files.get(path) != manifest.files.get(path):
            raise ModelInvalid(f"{folder}: {path} is not the file that the manifest names")
    return manifest


def digests(folder: Path) -> dict[str, str]:
    """Give the SHA-256 of every file in a version's folder, the manifest apart, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path != folder / MANIFEST
    }
