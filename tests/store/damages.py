"""What disks, file systems and people do to a journal's files; each kind of it as a function.

A journal is its files by name. ``Scene`` holds what there is to damage it with: the journal as its
last process left it (a crash with its log, or an ending), older copies of it, and another journal.
"""

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

DB, WAL, SHM = "journal.db", "journal.db-wal", "journal.db-shm"
SECTOR, PAGE = 512, 4_096
WAL_HEADER, FRAME = 32, 24 + PAGE

Files = dict[str, bytes]


@dataclass(frozen=True)
class Scene:
    """One state of a journal, and what may come in its place."""

    files: Files
    older: Files
    """The same journal, earlier."""
    other: Files
    """Another journal, which grew alike."""


Damage = Callable[[Scene, random.Random], Files]


def _changed(scene: Scene, name: str, change: Callable[[bytearray], None]) -> Files:
    content = bytearray(scene.files[name])
    change(content)
    return scene.files | {name: bytes(content)}


def _either(scene: Scene, chance: random.Random) -> str:
    return chance.choice([name for name in (DB, WAL) if name in scene.files])


def flip(scene: Scene, chance: random.Random) -> Files:
    """One bit."""

    def change(content: bytearray) -> None:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)

    return _changed(scene, _either(scene, chance), change)


def flips(scene: Scene, chance: random.Random) -> Files:
    """Many bits, all over."""

    def change(content: bytearray) -> None:
        for _ in range(chance.randrange(2, 200)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)

    return _changed(scene, _either(scene, chance), change)


def overwritten(scene: Scene, chance: random.Random) -> Files:
    """A run of other bytes."""

    def change(content: bytearray) -> None:
        size = chance.randrange(1, 2_000)
        place = chance.randrange(len(content))
        content[place : place + size] = chance.randbytes(len(content[place : place + size]))

    return _changed(scene, _either(scene, chance), change)


def cut(scene: Scene, chance: random.Random) -> Files:
    """The end is gone, anywhere."""

    def change(content: bytearray) -> None:
        del content[chance.randrange(len(content)) :]

    return _changed(scene, _either(scene, chance), change)


def cut_at_page(scene: Scene, chance: random.Random) -> Files:
    """The end is gone, at a page."""

    def change(content: bytearray) -> None:
        del content[chance.randrange(len(content)) // PAGE * PAGE :]

    return _changed(scene, DB, change)


def hole(scene: Scene, chance: random.Random) -> Files:
    """A sector is gone, and what follows moved up."""

    def change(content: bytearray) -> None:
        start = chance.randrange(len(content)) // SECTOR * SECTOR
        del content[start : start + SECTOR]

    return _changed(scene, _either(scene, chance), change)


def zeroed(scene: Scene, chance: random.Random) -> Files:
    """A sector or a page of zeros."""

    def change(content: bytearray) -> None:
        size = chance.choice((SECTOR, PAGE))
        start = chance.randrange(len(content)) // size * size
        content[start : start + size] = bytes(len(content[start : start + size]))

    return _changed(scene, _either(scene, chance), change)


def doubled(scene: Scene, chance: random.Random) -> Files:
    """A page lies where another one belongs as well."""

    def change(content: bytearray) -> None:
        source, target = (chance.randrange(len(content) // PAGE) * PAGE for _ in range(2))
        content[target : target + PAGE] = content[source : source + PAGE]

    return _changed(scene, DB, change)


def swapped(scene: Scene, chance: random.Random) -> Files:
    """Two pages lie in each other's place."""

    def change(content: bytearray) -> None:
        one, two = (chance.randrange(len(content) // PAGE) * PAGE for _ in range(2))
        first, second = content[one : one + PAGE], content[two : two + PAGE]
        content[one : one + PAGE], content[two : two + PAGE] = second, first

    return _changed(scene, DB, change)


def _page_of(scene: Scene, chance: random.Random, source: bytes) -> Files:
    def change(content: bytearray) -> None:
        place = chance.randrange(min(len(content), len(source)) // PAGE) * PAGE
        content[place : place + PAGE] = source[place : place + PAGE]

    return _changed(scene, DB, change)


def transplanted(scene: Scene, chance: random.Random) -> Files:
    """A page of another journal, whole and with its checksum, in the same place."""
    return _page_of(scene, chance, scene.other[DB])


def transplants(scene: Scene, chance: random.Random) -> Files:
    """Several such pages."""
    files = scene.files
    for _ in range(chance.randrange(2, 8)):
        files = _page_of(Scene(files, scene.older, scene.other), chance, scene.other[DB])
    return files


def stale_page(scene: Scene, chance: random.Random) -> Files:
    """A page as it was earlier: a write that never happened."""
    return _page_of(scene, chance, scene.older[DB])


def older_copy(scene: Scene, chance: random.Random) -> Files:
    """All of it as it was earlier."""
    return dict(scene.older)


def older_log(scene: Scene, chance: random.Random) -> Files:
    """Today's file with yesterday's log, or none."""
    files = dict(scene.files)
    files.pop(WAL, None)
    return files | ({WAL: scene.older[WAL]} if WAL in scene.older and chance.random() < 0.5 else {})


def others_log(scene: Scene, chance: random.Random) -> Files:
    """The log of another journal."""
    return scene.files | {WAL: scene.other[WAL]}


def torn_log(scene: Scene, chance: random.Random) -> Files:
    """The log without its end, or with a frame of nonsense."""
    content = bytearray(scene.files.get(WAL) or scene.other[WAL])
    frames = (len(content) - WAL_HEADER) // FRAME
    start = WAL_HEADER + chance.randrange(frames) * FRAME
    if chance.random() < 0.5:
        del content[start + chance.randrange(FRAME) :]
    else:
        content[start : start + FRAME] = chance.randbytes(FRAME)
    return scene.files | {WAL: bytes(content)}


def swapped_frames(scene: Scene, chance: random.Random) -> Files:
    """Two frames of the log in each other's place."""
    content = bytearray(scene.files.get(WAL) or scene.other[WAL])
    frames = (len(content) - WAL_HEADER) // FRAME
    one, two = (WAL_HEADER + chance.randrange(frames) * FRAME for _ in range(2))
    first, second = content[one : one + FRAME], content[two : two + FRAME]
    content[one : one + FRAME], content[two : two + FRAME] = second, first
    return scene.files | {WAL: bytes(content)}


def wrong_shm(scene: Scene, chance: random.Random) -> Files:
    """An index of the log that says anything."""
    return scene.files | {SHM: chance.randbytes(chance.choice((0, 100, 32_768)))}


def wrong_header(scene: Scene, chance: random.Random) -> Files:
    """The first hundred bytes say something else."""

    def change(content: bytearray) -> None:
        start = chance.randrange(100)
        content[start : start + chance.randrange(1, 100 - start + 1)] = chance.randbytes(
            chance.randrange(1, 100 - start + 1)
        )
        del content[max(len(scene.files[DB]), PAGE) :]

    return _changed(scene, DB, change)


def deleted_rows(scene: Scene, chance: random.Random) -> Files:
    """Rows deleted by plain SQLite, which knows of no checksum and no chain."""
    return _by_hand(
        scene, "DELETE FROM entries WHERE sequence BETWEEN ?1 AND ?1 + ?2", chance, tail=True
    )


def changed_rows(scene: Scene, chance: random.Random) -> Files:
    """Rows changed by plain SQLite."""
    statement = "UPDATE entries SET body = x'7b7d' WHERE sequence BETWEEN ?1 AND ?1 + ?2"
    return _by_hand(scene, statement, chance)


def dropped_index(scene: Scene, chance: random.Random) -> Files:
    """An index dropped by plain SQLite."""
    return _by_hand(scene, "DROP INDEX entries_topic", chance)


def _by_hand(scene: Scene, statement: str, chance: random.Random, tail: bool = False) -> Files:
    """Do something to the files with the standard library's SQLite; what it refuses is not done."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in scene.files.items():
            (Path(folder) / name).write_bytes(content)
        with closing(sqlite3.connect(Path(folder) / DB)) as connection, suppress(sqlite3.Error):
            (newest,) = connection.execute("SELECT max(sequence) FROM entries").fetchone()
            first = chance.randrange(1, newest + 1)
            count = newest if tail and chance.random() < 0.3 else chance.randrange(5)
            values = (first, count) if "?1" in statement else ()
            connection.execute(statement, values)
            connection.commit()
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name != SHM}


KINDS: tuple[Damage, ...] = (
    flip,
    flips,
    overwritten,
    cut,
    cut_at_page,
    hole,
    zeroed,
    doubled,
    swapped,
    transplanted,
    transplants,
    stale_page,
    older_copy,
    older_log,
    others_log,
    torn_log,
    swapped_frames,
    wrong_shm,
    wrong_header,
    deleted_rows,
    changed_rows,
    dropped_index,
)
