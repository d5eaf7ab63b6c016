"""The hub's command, made to kill itself at one point: started by the kill tests, no test itself.

``FAILPOINT`` is ``where:when:nth``. ``where`` is a tool (``tool publish_context``), the start of a
statement of the journal's writer (``sql COMMIT``), or ``module.path Class.method``; ``when`` is
before or after; ``nth`` counts from 1, once the file ``FAILPOINT_ARMED`` is there (from the start
where none is named).
"""

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relentless.cli import main


class Failpoint:
    """Counts how often the point is reached, and kills."""

    def __init__(self, nth: int, armed: str) -> None:
        self._left = nth
        self._armed = armed

    def reached(self) -> None:
        """Kill this process, as a crash would, the nth time."""
        if self._armed and not Path(self._armed).exists():
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def around(
    function: Callable[..., Any],
    point: Failpoint,
    when: str,
    matters: Callable[..., bool] = lambda *_: True,
) -> Callable[..., Any]:
    """Give a function with the point before or after what it does, of either kind."""

    @functools.wraps(function)
    async def waits(*args: Any, **given: Any) -> Any:
        if when == "before" and matters(*args):
            point.reached()
        try:
            return await function(*args, **given)
        finally:
            if when == "after" and matters(*args):
                point.reached()

    @functools.wraps(function)
    def returns(*args: Any, **given: Any) -> Any:
        if when == "before" and matters(*args):
            point.reached()
        try:
            return function(*args, **given)
        finally:
            if when == "after" and matters(*args):
                point.reached()

    return waits if inspect.iscoroutinefunction(function) else returns


def install(where: str, when: str, point: Failpoint) -> None:
    """Put the point where it belongs."""
    kind, _, what = where.partition(" ")
    if kind == "tool":
        from relentless.mcp_server.toolbox import Toolbox

        Toolbox._run = around(Toolbox._run, point, when, lambda _, name, *__: name == what)  # type: ignore[method-assign]
        return
    if kind == "sql":
        from relentless.store import recovery

        connect = recovery.connect_writer

        def traced(*args: Any, **given: Any) -> Any:
            connection = connect(*args, **given)

            def about_to(_: Any, statement: str, __: Any) -> bool:
                if statement.startswith(what):
                    point.reached()
                return True

            connection.exec_trace = about_to
            return connection

        recovery.connect_writer = traced
        return
    owner: Any = importlib.import_module(f"relentless.{kind}")
    *path, name = what.split(".")
    for step in path:
        owner = getattr(owner, step)
    setattr(owner, name, around(getattr(owner, name), point, when))


if __name__ == "__main__":
    where, when, nth = os.environ["FAILPOINT"].split(":")
    install(where, when, Failpoint(int(nth), os.environ.get("FAILPOINT_ARMED", "")))
    sys.argv[1:] = ["hub"]
    main()
