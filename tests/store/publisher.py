"""A real process that publishes, to be killed: used by the SIGKILL test, not a test itself.

It reads lines ``<path> <generation>`` on standard input. For each it forks a child (a fork so that
hundreds of kills do not cost hundreds of imports) that opens the journal and publishes from sixteen
tasks until it is killed, writing ``ack <key> <sequence>`` after each acknowledgement. The parent
writes ``pid <number>`` before and ``end`` once the child is dead.
"""

import asyncio
import os
import sys
from pathlib import Path

from relentless.configs.clock import RunClock
from relentless.store.journal import open_journal
from relentless.store.ports import Kind, NewEntry

PUBLISHERS = 16


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def body(key: str) -> bytes:
    """What is published under a key: the reader works it out again."""
    return f'{{"key":"{key}","filler":"{key * 40}"}}'.encode()


async def publish(path: Path, generation: int) -> None:
    journal = await open_journal(path, RunClock.live())

    async def forever(task: int) -> None:
        number = 0
        while True:
            key = f"{generation}.{task}.{number}"
            entry = NewEntry(Kind.MESSAGE, body(key), key=key, principal=f"p{task}", topic="rates")
            [receipt] = await journal.append([entry])
            say(f"ack {key} {receipt.sequence}")
            number += 1

    await asyncio.gather(*(forever(task) for task in range(PUBLISHERS)))


def main() -> None:
    for line in sys.stdin:
        path, generation = line.split()
        child = os.fork()
        if child == 0:
            say(f"pid {os.getpid()}")
            asyncio.run(publish(Path(path), int(generation)))
            os._exit(1)
        os.waitpid(child, 0)
        say("end")


if __name__ == "__main__":
    main()
