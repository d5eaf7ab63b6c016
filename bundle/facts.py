"""What the bundle and the registry's entry say of the project: read from it, written nowhere twice.

Pure but for reading the project's own files.
"""

import ast
import inspect
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

from relentless.configs.settings import HubSettings
from relentless.mcp_server import prompts
from relentless.tools.access import ACCESS
from relentless.tools.agents import AgentTools
from relentless.tools.context import ContextTools
from relentless.tools.inference import InferenceTools
from relentless.tools.operators import OperatorTools

ROOT: Final = Path(__file__).resolve().parents[1]
TITLE: Final = "Relentless hub"
DESCRIPTION: Final = (
    "Daily context, signals and agents of a trading hub that you run; reads, explains, halts"
)
"""What a registry shows, in a hundred characters at most."""
URL: Final = HubSettings().url
"""Where a hub listens where nothing else was set."""
KEY_FILE: Final = "The file of the key, such as keys/reader.key in the folder that the hub runs in"

_FAMILIES: Final = (AgentTools, ContextTools, InferenceTools, OperatorTools)


def project() -> dict[str, Any]:
    """Give the project's table of ``pyproject.toml``."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


def tools() -> list[dict[str, str]]:
    """Give name and description of every tool, as the hub lists them."""
    found = []
    for name in ACCESS:
        method = next(getattr(family, name) for family in _FAMILIES if hasattr(family, name))
        found.append(
            {"name": name, "description": " ".join((inspect.getdoc(method) or "").split())}
        )
    return found


def prompt_texts() -> list[dict[str, Any]]:
    """Give every prompt with its words, its arguments as places to fill in."""
    return [
        {
            "name": prompt.name,
            "description": prompt.description,
            "arguments": [argument.name for argument in prompt.arguments],
            "text": prompt.words({a.name: f"${{arguments.{a.name}}}" for a in prompt.arguments}),
        }
        for prompt in prompts.PROMPTS
    ]


def modules(start: str) -> dict[str, Path]:
    """Give a module of ours and every one of ours that it imports when it is loaded."""
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting.append(name.rpartition(".")[0])
        waiting += [each for each in _imports(path) if each.startswith("relentless")]
    return dict(sorted(found.items()))


def requirements(paths: list[Path]) -> list[str]:
    """Give the distributions that some files import, each in the version of the lock file."""
    owners = packages_distributions()
    tops = {name.partition(".")[0] for path in paths for name in _imports(path)}
    used = {owners[top][0].lower().replace("_", "-") for top in tops if top in owners}
    locked = dict(
        line.split(" ")[0].split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    )
    return [f"{name}=={locked[name]}" for name in sorted(used & locked.keys())]


def _file(name: str) -> Path | None:
    path = ROOT / "src" / Path(*name.split("."))
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return found if name and found.is_file() else None


def _imports(path: Path) -> set[str]:
    """Give every module, or name in a module, that a file imports at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found
