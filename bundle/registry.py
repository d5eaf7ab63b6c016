"""Writes ``server.json``, the entry for registries of MCP servers (schema of 2025-12-11).

Without a package it names what is true of every copy of the project: a hub over HTTPS at an address
of its owner's. What was published is added by whoever published it: with ``--package`` a
distribution by its name (under another's name a client would run another's program), with
``--bundle`` the MCP bundle by its address, and the digest that the same sources give.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from bundle import facts, mcpb

SCHEMA: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
NAME: Final = "io.github.relentless/relentless"
"""The name in registries. The README repeats it in its line ``mcp-name:``, by which a registry
knows that package and entry have one owner."""
FILE: Final = facts.ROOT / "server.json"

_VARIABLES: Final = (
    ("RELENTLESS_PATHS__STATE", "The folder that a local hub runs in; its keys lie in keys/"),
    ("RELENTLESS_HUB__HOST", "The host of the hub, where no --url is given"),
    ("RELENTLESS_HUB__PORT", "The port of the hub, where no --url is given"),
    ("SSL_CERT_FILE", "Certificates to trust, where the hub's is of a private authority"),
)


def entry(package: str | None = None, bundle: str | None = None) -> dict[str, Any]:
    """Give ``server.json``."""
    project = facts.project()
    found: dict[str, Any] = {
        "$schema": SCHEMA,
        "name": NAME,
        "title": facts.TITLE,
        "description": facts.DESCRIPTION,
        "version": project["version"],
        "remotes": [_remote()],
    }
    packages = []
    if package is not None:
        packages.append(_package(package, project["version"]))
    if bundle is not None:
        packages.append(_bundle(bundle))
    return found | ({"packages": packages} if packages else {})


def _remote() -> dict[str, Any]:
    return {
        "type": "streamable-http",
        "url": "https://{host}/mcp",
        "variables": {
            "host": {
                "description": "Name, and port where it is not 443, at which your hub has TLS",
                "isRequired": True,
                "placeholder": "hub.example.com:8765",
            }
        },
        "headers": [
            {
                "name": "X-API-Key",
                "description": "A key of the hub: relentless keys create --role reader --name NAME",
                "isRequired": True,
                "isSecret": True,
            }
        ],
    }


def _package(name: str, version: str) -> dict[str, Any]:
    files = {"RELENTLESS_PATHS__STATE", "SSL_CERT_FILE"}
    return {
        "registryType": "pypi",
        "identifier": name,
        "version": version,
        "runtimeHint": "uvx",
        "transport": {"type": "stdio"},
        "packageArguments": [
            {"type": "positional", "value": "mcp"},
            {
                "type": "named",
                "name": "--url",
                "description": "Address of the hub; beyond this machine an https address",
                "default": facts.URL,
            },
            {
                "type": "named",
                "name": "--key-file",
                "description": facts.KEY_FILE,
                "format": "filepath",
                "isRequired": True,
            },
        ],
        "environmentVariables": [
            {
                "name": variable,
                "description": description,
                "format": "filepath" if variable in files else "string",
                "isRequired": False,
                "isSecret": False,
            }
            for variable, description in _VARIABLES
        ],
    }


def _bundle(address: str) -> dict[str, Any]:
    return {
        "registryType": "mcpb",
        "identifier": address,
        "fileSha256": hashlib.sha256(mcpb.packed()).hexdigest(),
        "transport": {"type": "stdio"},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write server.json.")
    parser.add_argument("--package", help="The distribution's name, and of its command")
    parser.add_argument("--bundle", help="Where the bundle can be fetched")
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    given.out.write_text(json.dumps(entry(given.package, given.bundle), indent=2) + "\n")
    sys.stdout.write(f"{given.out}\n")
