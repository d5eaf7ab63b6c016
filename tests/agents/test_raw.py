"""Raw bodies are kept by their hash, and not for ever."""

import hashlib
import os
import time

from relentless.agents.runtime.raw import RawStore

DAY = 86_400.0


def aged(store, body, days):
    digest = store.put(body)
    moment = time.time() - days * DAY
    os.utime(store.path(digest), (moment, moment))
    return digest


def test_what_no_answer_gave_for_long_goes(tmp_path):
    store = RawStore(tmp_path)
    old, new = aged(store, b"old", 91), aged(store, b"new", 89)
    assert store.prune(max_age_s=90 * DAY, max_bytes=2**20) == 1
    assert store.get(new) == b"new" and not store.path(old).exists()


def test_a_body_that_came_again_is_young(tmp_path):
    store = RawStore(tmp_path)
    digest = aged(store, b"same", 91)
    assert store.put(b"same") == digest == hashlib.sha256(b"same").hexdigest()
    assert store.prune(max_age_s=90 * DAY, max_bytes=2**20) == 0
    assert store.get(digest) == b"same"


def test_past_the_size_the_oldest_go_first(tmp_path):
    store = RawStore(tmp_path)
    bodies = [aged(store, bytes([n]) * 100, n) for n in range(10)]
    assert store.prune(max_age_s=90 * DAY, max_bytes=450) == 6
    assert [store.path(digest).exists() for digest in bodies] == [True] * 4 + [False] * 6


def test_a_file_that_is_being_written_stays(tmp_path):
    store = RawStore(tmp_path)
    part = tmp_path / "ab" / ".new-x"
    part.parent.mkdir()
    part.write_bytes(b"part")
    os.utime(part, (0, 0))
    assert store.prune(max_age_s=1.0, max_bytes=0) == 0 and part.exists()
