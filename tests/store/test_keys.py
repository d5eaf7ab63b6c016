"""API keys: what is accepted, what is refused, and what lies on the disk."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relentless.proto.contexts import AGENT_TOPICS, Topic
from relentless.proto.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from relentless.store.keys import (
    LOCAL_ROLES,
    KeyRing,
    ensure_local,
    keys_path,
    local_credential,
)
from relentless.store.ports import Role


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys" / "keys.json", every_s=0.0)


def test_a_new_key_gives_its_caller_with_its_own_topic_and_notes(ring: KeyRing) -> None:
    caller = ring.verify(ring.create("FredAgent", Role.AGENT))
    assert (caller.name, caller.role) == ("FredAgent", Role.AGENT)
    assert caller.topics == {Topic.RATES, Topic.NOTE}


def test_a_reader_may_publish_nothing(ring: KeyRing) -> None:
    assert ring.verify(ring.create("someone", Role.READER)).topics == frozenset()


@pytest.mark.parametrize("wrong", ["", ".", "x", "x.y", "é.ü", "a" * 10_000])
def test_what_is_no_key_is_refused(ring: KeyRing, wrong: str) -> None:
    ring.create("FredAgent", Role.AGENT)
    with pytest.raises(Unauthenticated):
        ring.verify(wrong)


def test_a_secret_of_another_key_is_refused(ring: KeyRing) -> None:
    one, other = ring.create("a", Role.READER), ring.create("b", Role.READER)
    mixed = f"{one.partition('.')[0]}.{other.partition('.')[2]}"
    with pytest.raises(Unauthenticated):
        ring.verify(mixed)


def test_an_expired_key_is_refused(ring: KeyRing) -> None:
    now = datetime.now(UTC)
    gone = ring.create("a", Role.READER, expires=now - timedelta(seconds=1))
    valid = ring.create("b", Role.READER, expires=now + timedelta(hours=1))
    with pytest.raises(Unauthenticated):
        ring.verify(gone)
    assert ring.verify(valid).expires_at == now + timedelta(hours=1)


def test_a_revoked_key_is_refused_in_every_process_that_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    here, elsewhere = KeyRing(path, every_s=0.0), KeyRing(path, every_s=0.0)
    credential = here.create("a", Role.READER)
    key_id = elsewhere.verify(credential).key_id
    here.revoke(key_id)
    with pytest.raises(Unauthenticated):
        elsewhere.verify(credential)
    with pytest.raises(Conflict):
        elsewhere.revoke(key_id)
    with pytest.raises(NotFound):
        here.revoke("nobody")


def test_a_key_made_elsewhere_works_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    here, elsewhere = KeyRing(path, every_s=3_600.0), KeyRing(path)
    here.verify(elsewhere.create("a", Role.READER))
    assert here.verify(elsewhere.create("b", Role.READER)).name == "b"


def test_two_rings_writing_lose_no_key(tmp_path: Path) -> None:
    rings = [KeyRing(tmp_path / "keys.json") for _ in range(2)]
    made = [rings[n % 2].create(f"a{n}", Role.READER) for n in range(20)]
    assert [KeyRing(tmp_path / "keys.json").verify(one).name for one in made] == [
        f"a{n}" for n in range(20)
    ]


def test_the_file_holds_no_secret_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "keys.json"
    credential = KeyRing(path).create("a", Role.READER)
    assert credential.partition(".")[2] not in path.read_text()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700


def test_two_keys_of_one_caller_have_different_salts(ring: KeyRing) -> None:
    ring.create("a", Role.READER)
    ring.create("a", Role.READER)
    assert len({key.salt for key in ring.keys()}) == 2  # noqa: SIM118 - no mapping


@pytest.mark.parametrize("body", ["", "{", "[]", '{"keys": [{}]}', '{"keys": 3}', "\0"])
def test_a_damaged_file_lets_nobody_in_and_says_so(tmp_path: Path, body: str) -> None:
    path = tmp_path / "keys.json"
    ring = KeyRing(path, every_s=0.0)
    credential = ring.create("a", Role.READER)
    path.write_text(body)
    with pytest.raises(Unavailable):
        ring.verify(credential)
    with pytest.raises(Unavailable):
        ring.create("b", Role.READER)
    assert path.read_text() == body


def test_the_hubs_own_topics_are_given_to_nobody(ring: KeyRing) -> None:
    with pytest.raises(InvalidInput):
        ring.create("a", Role.AGENT, topics=[Topic.DAILY_CONTEXT])
    with pytest.raises(InvalidInput):
        ring.create("a", Role.AGENT, expires=datetime(2030, 1, 1))  # noqa: DTZ001 - the point


def test_the_local_set_is_made_once_and_healed(tmp_path: Path) -> None:
    ensure_local(tmp_path)
    first = {name: local_credential(tmp_path, name) for name in LOCAL_ROLES}
    ensure_local(tmp_path)
    assert first == {name: local_credential(tmp_path, name) for name in LOCAL_ROLES}
    ring = KeyRing(keys_path(tmp_path))
    for name, credential in first.items():
        caller = ring.verify(credential)
        assert (caller.name, caller.role) == (name, LOCAL_ROLES[name])
    assert set(AGENT_TOPICS) <= set(LOCAL_ROLES)

    (tmp_path / "keys" / "reader.key").unlink()
    with pytest.raises(NotFound):
        local_credential(tmp_path, "reader")
    ensure_local(tmp_path)
    assert ring.verify(local_credential(tmp_path, "reader")).role is Role.READER


def test_a_key_file_reads_as_json_of_version_one(tmp_path: Path) -> None:
    KeyRing(tmp_path / "k.json").create("a", Role.TRADER)
    body = json.loads((tmp_path / "k.json").read_text())
    assert body["version"] == 1
    assert body["keys"][0]["role"] == "trader"


def test_a_rotated_key_has_a_new_secret_and_the_old_one_for_the_overlap(ring: KeyRing) -> None:
    old = ring.create("FredAgent", Role.AGENT)
    key_id = old.partition(".")[0]
    new = ring.rotate(key_id, timedelta(hours=1))
    assert new.partition(".")[0] == key_id
    assert new != old
    assert ring.verify(old) == ring.verify(new)


def test_after_the_overlap_the_old_secret_is_refused(ring: KeyRing) -> None:
    old = ring.create("FredAgent", Role.AGENT)
    new = ring.rotate(old.partition(".")[0], timedelta(0))
    with pytest.raises(Unauthenticated):
        ring.verify(old)
    ring.verify(new)


def test_a_second_rotation_ends_the_first_secret(ring: KeyRing) -> None:
    first = ring.create("FredAgent", Role.AGENT)
    key_id = first.partition(".")[0]
    second = ring.rotate(key_id, timedelta(hours=1))
    third = ring.rotate(key_id, timedelta(hours=1))
    with pytest.raises(Unauthenticated):
        ring.verify(first)
    ring.verify(second)
    ring.verify(third)


def test_an_overlap_saves_no_key_that_expired_or_was_revoked(ring: KeyRing) -> None:
    soon = datetime.now(UTC) - timedelta(seconds=1)
    expired = ring.create("a", Role.READER, expires=soon)
    revoked = ring.create("b", Role.READER)
    both = [expired, ring.rotate(expired.partition(".")[0], timedelta(hours=1))]
    both += [revoked, ring.rotate(revoked.partition(".")[0], timedelta(hours=1))]
    ring.revoke(revoked.partition(".")[0])
    for credential in both:
        with pytest.raises(Unauthenticated):
            ring.verify(credential)


def test_what_cannot_be_rotated_says_why(ring: KeyRing) -> None:
    key_id = ring.create("a", Role.READER).partition(".")[0]
    with pytest.raises(NotFound):
        ring.rotate("nope", timedelta(0))
    for wrong in (timedelta(days=31), timedelta(seconds=-1)):
        with pytest.raises(InvalidInput):
            ring.rotate(key_id, wrong)
    ring.revoke(key_id)
    with pytest.raises(Conflict):
        ring.rotate(key_id, timedelta(0))


def test_a_rotation_holds_for_other_rings_and_a_file_from_before_is_read(ring: KeyRing) -> None:
    old = ring.create("a", Role.READER)
    path = ring._path
    body = json.loads(path.read_text())
    for item in body["keys"]:
        del item["before"], item["before_until"]
    path.write_text(json.dumps(body))
    other = KeyRing(path, every_s=0.0)
    other.verify(old)
    new = other.rotate(old.partition(".")[0], timedelta(hours=1))
    for credential in (old, new):
        KeyRing(path).verify(credential)
    assert new.partition(".")[2] not in path.read_text()
