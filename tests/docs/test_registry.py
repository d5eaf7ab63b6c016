"""``server.json``: what its schema (2025-12-11) asks for, the same as the project's files."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from relentless.cli import app
from relentless.configs.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = {"type": "string", "minLength": 1}
FLAG = {"type": "boolean"}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object with these properties and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


INPUT = {
    "description": TEXT,
    "format": {"enum": ["string", "number", "boolean", "filepath"]},
    "isRequired": FLAG,
    "isSecret": FLAG,
    "default": TEXT,
    "placeholder": TEXT,
    "value": TEXT,
    "choices": {"type": "array", "items": TEXT},
}
NAMED = closed(["name"], name=TEXT, **INPUT)
ARGUMENT = {
    "oneOf": [
        closed(["type", "name"], type={"const": "named"}, name=TEXT, **INPUT),
        closed(["type", "value"], type={"const": "positional"}, **INPUT),
    ]
}
PACKAGE = closed(
    ["registryType", "identifier", "transport"],
    registryType={"enum": ["pypi", "mcpb"]},
    identifier=TEXT,
    version={"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
    fileSha256={"type": "string", "pattern": "^[a-f0-9]{64}$"},
    runtimeHint={"enum": ["uvx"]},
    transport=closed(["type"], type={"const": "stdio"}),
    packageArguments={"type": "array", "items": ARGUMENT},
    environmentVariables={"type": "array", "items": NAMED},
)
REMOTE = closed(
    ["type", "url"],
    type={"enum": ["streamable-http", "sse"]},
    url={"type": "string", "pattern": r"^https://\S+$"},
    headers={"type": "array", "items": NAMED},
    variables={"type": "object", "additionalProperties": closed([], **INPUT)},
)
ENTRY = closed(
    ["$schema", "name", "description", "version"],
    **{"$schema": {"type": "string", "pattern": r"/schemas/2025-12-11/server\.schema\.json$"}},
    name={"type": "string", "maxLength": 200, "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$"},
    title={**TEXT, "maxLength": 100},
    description={**TEXT, "maxLength": 100},
    version={"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
    packages={"type": "array", "items": PACKAGE},
    remotes={"type": "array", "items": REMOTE},
)


def written(out: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bundle.registry", "--out", str(out), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The entry as its publisher writes it."""
    out = tmp_path_factory.mktemp("registry") / "server.json"
    return written(out, "--package", "a-name", "--bundle", "https://files.example/r.mcpb")


def test_the_file_is_the_one_that_is_written(tmp_path: Path) -> None:
    """Write it anew: python -m bundle.registry"""
    made = written(tmp_path / "server.json")
    assert (ROOT / "server.json").read_text() == (tmp_path / "server.json").read_text()
    assert "packages" not in made, "the name of a distribution is its publisher's to say"


def test_both_hold_to_the_schema(published: dict[str, Any]) -> None:
    for said in (json.loads((ROOT / "server.json").read_text()), published):
        assert [error.message for error in Draft202012Validator(ENTRY).iter_errors(said)] == []


def test_name_version_and_places_are_the_projects(published: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert published["version"] == project["version"] == published["packages"][0]["version"]
    assert published["name"].rpartition("/")[2] == project["name"]
    (remote,) = published["remotes"]
    places = re.findall(r"{(\w+)}", remote["url"])
    assert places == list(remote["variables"])
    assert remote["headers"][0]["isSecret"]


def test_the_readme_may_only_name_the_entry_that_is_there() -> None:
    named = re.findall(r"mcp-name: *(\S+)", (ROOT / "README.md").read_text())
    assert set(named) <= {json.loads((ROOT / "server.json").read_text())["name"]}


def test_the_package_is_started_by_a_command_that_exists(published: dict[str, Any]) -> None:
    package = published["packages"][0]
    command, *options = package["packageArguments"]
    said = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command["value"], "--help"]).stdout
    assert all(option["name"] in said for option in options)
    assert options[0]["default"] == Settings(_env_file=None).hub.url


def test_the_variables_are_settings(published: dict[str, Any]) -> None:
    names = [each["name"] for each in published["packages"][0]["environmentVariables"]]
    ours = [name.removeprefix("RELENTLESS_") for name in names if name.startswith("RELENTLESS_")]
    settings = Settings(_env_file=None).model_dump()
    for name in ours:
        section, setting = name.lower().split("__")
        assert setting in settings[section], name
    assert len(ours) >= 3


def test_the_bundle_is_named_by_the_digest_of_what_is_built(
    published: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "r.mcpb"
    command = [sys.executable, "-m", "bundle.mcpb", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    package = published["packages"][1]
    assert package["fileSha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
