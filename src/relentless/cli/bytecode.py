"""Bytecode of everything that a run imports, written once at set-up.

Installers leave it to the first import, and some environments forbid writing it then
(``PYTHONDONTWRITEBYTECODE``): every start of every process would compile thousands of files anew,
which takes longer than all the rest of a start.
"""

import compileall
import contextlib
import importlib
import sys
from pathlib import Path

PROCESSES = (
    "relentless.agents.runner",
    "relentless.agents.trading",
    "relentless.cli.operate",
    "relentless.cli.up",
    "relentless.mcp_server.server",
    "relentless.mcp_server.stdio",
    "relentless.sandbox.server",
    "relentless.serving.model_server.main",
    "relentless.serving.predictor",
)
_LATER = (
    "anyio._backends._asyncio",
    "httpcore._async.http11",
    "rich.live",
    "typer.rich_utils",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "websockets.asyncio.client",
)
"""What libraries import only once they are used."""


def write_bytecode() -> int:
    """Import what the processes import and write its bytecode; give the number of source files.

    A file that is current is left alone, and so is a folder that cannot be written.
    """
    for name in PROCESSES:
        importlib.import_module(name)
    for name in _LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sources = {
        source
        for module in list(sys.modules.values())
        if (source := getattr(module, "__file__", None)) and source.endswith(".py")
    }
    for source in sorted(sources):
        if Path(source).is_file():
            compileall.compile_file(source, quiet=2)
    return len(sources)
