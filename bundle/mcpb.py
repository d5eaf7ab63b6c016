"""Builds the MCP bundle: the stdio proxy for hosts that install ``.mcpb`` files.

The proxy's own modules are in it, and what they import is named with its version: the host's ``uv``
fetches that for whatever machine it is on. The same sources give the same bytes.
"""

import argparse
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from bundle import facts

PROXY: Final = "relentless.mcp_server.stdio"
START: Final = "server/start.py"
_EPOCH: Final = (2000, 1, 1, 0, 0, 0)


def manifest() -> dict[str, Any]:
    """Give ``manifest.json``."""
    project = facts.project()
    arguments = ["--url", "${user_config.url}", "--key-file", "${user_config.key_file}"]
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": facts.TITLE,
        "version": project["version"],
        "description": facts.DESCRIPTION,
        "long_description": project["description"],
        "author": {"name": "Relentless"},
        "license": project["license"],
        "server": {
            "type": "uv",
            "entry_point": START,
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", START, *arguments],
            },
        },
        "tools": facts.tools(),
        "prompts": facts.prompt_texts(),
        "user_config": {
            "url": {
                "type": "string",
                "title": "Address of the hub",
                "description": "Beyond this machine an https address",
                "default": facts.URL,
                "required": False,
            },
            "key_file": {
                "type": "file",
                "title": "Key file",
                "description": facts.KEY_FILE,
                "required": True,
                "sensitive": True,
            },
        },
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": project["requires-python"]},
        },
    }


def files() -> dict[str, bytes]:
    """Give every file of the bundle by its name in it."""
    ours = facts.modules(PROXY)
    start = Path(__file__).with_name("start.py")
    project = facts.project()
    wanted = facts.requirements([*ours.values(), start])
    recipe = (
        "[project]\n"
        f"name = {json.dumps(project['name'] + '-proxy')}\n"
        f"version = {json.dumps(project['version'])}\n"
        f"requires-python = {json.dumps(project['requires-python'])}\n"
        f"dependencies = {json.dumps(wanted, indent=4)}\n"
    )
    found = {
        "manifest.json": (json.dumps(manifest(), indent=2) + "\n").encode(),
        "pyproject.toml": recipe.encode(),
        "LICENSE": (facts.ROOT / "LICENSE").read_bytes(),
        START: start.read_bytes(),
    }
    for path in ours.values():
        found[f"server/{path.relative_to(facts.ROOT / 'src')}"] = path.read_bytes()
    return found


def packed() -> bytes:
    """Give the bundle's bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name, body in sorted(files().items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(info, body)
    return out.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the MCP bundle.")
    parser.add_argument("--out", type=Path, default=facts.ROOT / "dist" / "relentless.mcpb")
    chosen = parser.parse_args().out
    chosen.parent.mkdir(parents=True, exist_ok=True)
    chosen.write_bytes(packed())
    sys.stdout.write(f"{chosen}\n")
