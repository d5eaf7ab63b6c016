"""The board: one page for hosts that show MCP Apps (the extension ``io.modelcontextprotocol/ui``).

A host that knows the extension shows the page beside the answers of the tools that name it; any
other sees a field in ``_meta`` that it passes over. The page is made of the files in ``board/``,
fetches nothing, and asks only through its host, with the host's key. Its own policy lets run the
script and the style that are in it, by their digests, and nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import mcp_types as types
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID, ResourceCsp

from relentless import __version__

BOARD: Final = "ui://relentless/board"
TOOLS: Final = frozenset({"get_daily_context", "get_signals"})
"""The tools whose answers the board shows."""
EXTENSIONS: Final[Mapping[str, dict[str, Any]]] = {EXTENSION_ID: {}}
"""What ``server/discover`` says; the older handshake has no place for it and needs none."""

_FOLDER: Final = Path(__file__).with_name("board")
_SCRIPTS: Final = ("bridge.js", "parts.js", "daily.js", "signals.js", "board.js")


def tool_meta(tool: str) -> dict[str, Any] | None:
    """Give the ``_meta`` of a listed tool."""
    return {"ui": {"resourceUri": BOARD}} if tool in TOOLS else None


def contents() -> types.TextResourceContents:
    """Give the page as ``resources/read`` answers it: it needs no domain and no permission."""
    csp = ResourceCsp(
        connect_domains=[], resource_domains=[], frame_domains=[], base_uri_domains=[]
    )
    ui = {"csp": csp.model_dump(by_alias=True), "permissions": {}, "prefersBorder": True}
    return types.TextResourceContents(
        uri=BOARD, mime_type=APP_MIME_TYPE, text=page(), meta={"ui": ui}
    )


@cache
def page() -> str:
    """Put the page together."""
    script = "".join((_FOLDER / name).read_text("utf-8") for name in _SCRIPTS)
    script = f"'use strict';\n{script.replace('{{version}}', __version__)}"
    style = (_FOLDER / "board.css").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    html = (_FOLDER / "board.html").read_text("utf-8")
    for mark, text in (("policy", policy), ("style", style), ("script", script)):
        html = html.replace(f"{{{{{mark}}}}}", text)
    return html


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
