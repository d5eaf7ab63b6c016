"""Who may call: API keys as an id and a 256-bit secret, kept as salted hashes in one file.

``KeyRing`` satisfies ``store.ports.KeyVerifier`` for every listener (hub, predictor, feed); the
command line creates, rotates and revokes through it. A credential is the text ``id.secret``; the
secret itself is nowhere on the server's side. Several processes may hold the same file: each
notices a change by its mtime, and writers take a lock and replace the file whole.
"""

import fcntl
import hashlib
import hmac
import json
import math
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from relentless.proto.contexts import AGENT_TOPICS, HUB_TOPICS, Topic
from relentless.proto.errors import Conflict, InvalidInput, NotFound, Unauthenticated, Unavailable
from relentless.store.ports import Principal, Role

LOCAL_ROLES: Final[Mapping[str, Role]] = {
    **dict.fromkeys(AGENT_TOPICS, Role.AGENT),
    "TradingAgent": Role.TRADER,
    "predictor": Role.PREDICTOR,
    "operator": Role.OPERATOR,
    "reader": Role.READER,
    "hub": Role.READER,
}
"""The keys that a run on one machine needs; "hub" is the hub's own, for the signal feed."""

MAX_OVERLAP: Final = timedelta(days=30)
"""How long two secrets of a key may hold."""

CHECK_S: Final = 0.25
"""Seconds after which a ring looks whether its file has changed."""

_REFUSED = "the API key is unknown, expired or revoked; create one with `relentless keys create`"


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it is kept: everything but its secret."""

    id: str
    name: str
    role: Role
    topics: frozenset[Topic]
    salt: bytes
    hash: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    before: bytes | None = None
    """The hash of the secret before the last rotation, with the same salt."""
    before_until: datetime | None = None
    """Wall time after which that secret is refused."""

    def accepts(self, secret: str, now: datetime) -> bool:
        """Say whether a secret is this key's, or was until a moment ago and still holds."""
        found = _hash(self.salt, secret)
        matches = hmac.compare_digest(found, self.hash)
        if self.before is None or self.before_until is None or self.before_until <= now:
            return matches
        return hmac.compare_digest(found, self.before) or matches

    def principal(self) -> Principal:
        """Give the caller that this key stands for."""
        return Principal(self.name, self.role, self.id, self.topics, self.expires_at)


class KeyRing:
    """The keys of one file. Wall time decides expiry.

    The file is looked at again at most every ``every_s`` seconds, and at once for an id that is not
    known: a new key works immediately, a revoked one ends within that time.
    """

    def __init__(self, path: Path, every_s: float = CHECK_S) -> None:
        self._path = path
        self._every_s = every_s
        self._looked = -math.inf
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def verify(self, credential: str) -> Principal:
        """Give the caller of a credential.

        Raises:
            Unauthenticated: unknown, expired or revoked.
            Unavailable: the file cannot be read; nobody is let in.
        """
        identity, _, secret = credential.partition(".")
        if identity not in self._keys or time.monotonic() - self._looked >= self._every_s:
            self._refresh()
        key = self._keys.get(identity, _NOBODY)
        now = datetime.now(UTC)
        if not key.accepts(secret, now) or key is _NOBODY or key.revoked_at is not None:
            raise Unauthenticated(_REFUSED)
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated(_REFUSED)
        return key.principal()

    def create(
        self,
        name: str,
        role: Role,
        topics: Iterable[Topic] | None = None,
        expires: datetime | None = None,
    ) -> str:
        """Make a key and give its credential, the only time that the secret is seen.

        Args:
            name: the caller's name; an agent's key publishes as this name alone.
            role: what the key is for.
            topics: what it may publish; by default an agent's own topic and ``note``.
            expires: wall time after which the key is refused.

        Raises:
            InvalidInput: a topic that only the hub publishes, or an expiry without a time zone.
        """
        if expires is not None and expires.tzinfo is None:
            raise InvalidInput("expires needs a time zone")
        allowed = frozenset(default_topics(name, role) if topics is None else topics)
        if reserved := allowed & HUB_TOPICS:
            raise InvalidInput(f"only the hub publishes {', '.join(sorted(reserved))}")
        secret, salt = secrets.token_urlsafe(32), secrets.token_bytes(16)
        with self._writing() as keys:
            identity = secrets.token_hex(8)
            keys[identity] = Key(
                identity,
                name,
                role,
                allowed,
                salt,
                _hash(salt, secret),
                datetime.now(UTC),
                expires,
            )
        return f"{identity}.{secret}"

    def revoke(self, key_id: str) -> None:
        """Refuse a key from now on, in every process that reads the file.

        Raises:
            NotFound: no such key.
            Conflict: it is revoked already.
        """
        with self._writing() as keys:
            keys[key_id] = replace(_in_force(keys, key_id), revoked_at=datetime.now(UTC))

    def rotate(self, key_id: str, overlap: timedelta) -> str:
        """Give a key a new secret, and its credential; the old secret holds for ``overlap``.

        Of two rotations within an overlap the second ends what the first left.

        Raises:
            NotFound: no such key.
            Conflict: it is revoked.
            InvalidInput: an overlap below zero or beyond ``MAX_OVERLAP``.
        """
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise InvalidInput(f"the old secret may hold for 0 to {MAX_OVERLAP.days} days")
        secret = secrets.token_urlsafe(32)
        with self._writing() as keys:
            key = _in_force(keys, key_id)
            keys[key_id] = replace(
                key,
                hash=_hash(key.salt, secret),
                before=key.hash,
                before_until=datetime.now(UTC) + overlap,
            )
        return f"{key_id}.{secret}"

    def keys(self) -> list[Key]:
        """Give every key, revoked ones too, oldest first."""
        self._refresh()
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    def _refresh(self) -> None:
        self._looked = time.monotonic()
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
            return
        except OSError as error:
            raise Unavailable(f"the key file cannot be read: {error.strerror}") from error
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            self._keys, self._stamp = _load(self._path), stamp

    @contextmanager
    def _writing(self) -> Iterator[dict[str, Key]]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._refresh()
            keys = dict(self._keys)
            yield keys
            body = {"version": 1, "keys": [_to_json(key) for key in keys.values()]}
            write_private(self._path, json.dumps(body, indent=1))
            self._refresh()
        finally:
            os.close(lock)


def _in_force(keys: Mapping[str, Key], key_id: str) -> Key:
    key = keys.get(key_id)
    if key is None:
        raise NotFound(f"no key has the id {key_id!r}; `relentless keys list` shows them")
    if key.revoked_at is not None:
        raise Conflict(f"key {key_id!r} is revoked already")
    return key


def default_topics(name: str, role: Role) -> frozenset[Topic]:
    """Give what a key may publish where nothing else is said: its own topic, and notes."""
    if role not in (Role.AGENT, Role.TRADER):
        return frozenset()
    own = AGENT_TOPICS.get(name)
    return frozenset({Topic.NOTE} if own is None else {own, Topic.NOTE})


def keys_path(state: Path) -> Path:
    """Give where a run's keys are kept."""
    return state / "keys" / "keys.json"


def ensure_local(state: Path) -> None:
    """Make the local set of keys, each with its secret in ``<state>/keys/<name>.key``.

    A key that is there and still accepted is left alone.
    """
    ring = KeyRing(keys_path(state))
    for name, role in LOCAL_ROLES.items():
        try:
            ring.verify(local_credential(state, name))
        except (NotFound, Unauthenticated):
            write_private(state / "keys" / f"{name}.key", ring.create(name, role))


def local_credential(state: Path, name: str) -> str:
    """Read one credential of the local set.

    Raises:
        NotFound: it was not made yet.
    """
    path = state / "keys" / f"{name}.key"
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError as error:
        raise NotFound(f"no key at {path}; `relentless up` makes the local set") from error


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, readable by its owner alone, durable on return."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _hash(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()


_NOBODY = Key("", "", Role.READER, frozenset(), b"\0" * 16, b"\0" * 32, datetime.now(UTC))
"""Compared against where the id is unknown, so that an unknown id takes as long as a known one."""


def _load(path: Path) -> dict[str, Key]:
    try:
        body = json.loads(path.read_bytes())
        keys = [_from_json(item) for item in body["keys"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"the key file {path} cannot be read; restore or remove it") from error
    return {key.id: key for key in keys}


def _from_json(item: Mapping[str, Any]) -> Key:
    return Key(
        id=item["id"],
        name=item["name"],
        role=Role(item["role"]),
        topics=frozenset(Topic(topic) for topic in item["topics"]),
        salt=bytes.fromhex(item["salt"]),
        hash=bytes.fromhex(item["hash"]),
        created_at=datetime.fromisoformat(item["created_at"]),
        expires_at=_moment(item["expires_at"]),
        revoked_at=_moment(item["revoked_at"]),
        before=bytes.fromhex(item["before"]) if item.get("before") else None,
        before_until=_moment(item.get("before_until")),
    )


def _to_json(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "topics": sorted(topic.value for topic in key.topics),
        "salt": key.salt.hex(),
        "hash": key.hash.hex(),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        "before": key.before.hex() if key.before else None,
        "before_until": key.before_until.isoformat() if key.before_until else None,
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
