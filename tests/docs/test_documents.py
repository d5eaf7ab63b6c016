"""What the documents say can be done can be done: commands, targets, links, numbers of the code."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relentless.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```(?:sh|bash|)\n(.*?)^```", path.read_text(), re.M | re.S)


def commands(word: str) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for path in DOCUMENTS:
        for block in blocks(path):
            for line in block.replace("\\\n", " ").splitlines():
                if line.split("#")[0].strip().startswith(f"{word} "):
                    found.add(tuple(shlex.split(line, comments=True)[1:]))
    return found


def ids(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text())
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("words", sorted(commands("relentless")), ids=ids)
def test_every_command_shown_exists_with_its_options(words: tuple[str, ...]) -> None:
    """Each word before the first option is a command, and each option is in that command's help."""
    path = []
    for word in words:
        if word.startswith("-") or len(path) == 2:
            break
        path.append(word)
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    while True:
        done = runner.invoke(app, [*path, "--help"])
        if done.exit_code == 0 and f" {path[0]} " in done.stdout:
            break
        assert len(path) > 1, f"no such command: relentless {' '.join(words)}\n{done.output}"
        path.pop()
    for option in options:
        assert option in done.stdout, f"relentless {' '.join(path)} has no {option}"


@pytest.mark.parametrize("words", sorted(commands("make")), ids=ids)
def test_every_make_target_shown_exists(words: tuple[str, ...]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        if "=" not in word:
            assert re.search(rf"^{re.escape(word)}:", makefile, re.M), f"no target {word}"


def test_no_registry_or_address_is_named_in_a_lock_file() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-setup.lock"):
        lock = (ROOT / name).read_text()
        assert "http" not in re.sub(r"^[A-Za-z0-9_.\-\[\]]+==.*$", "", lock, flags=re.M)
        pinned = re.findall(r"^([A-Za-z0-9_.\-]+)(?:\[[^\]]*\])?==", lock, re.M)
        assert pinned and lock.count("--hash=sha256:") >= len(pinned)


def test_every_source_folder_is_linked_and_mapped() -> None:
    """The package holds one link a folder, and the wheel's map names each."""
    project = (ROOT / "pyproject.toml").read_text()
    links = [path for path in (ROOT / "src" / "relentless").iterdir() if path.is_symlink()]
    assert len(links) == 9
    for link in links:
        assert link.resolve() == ROOT / link.name
        assert f'{link.name} = "relentless/{link.name}"' in project
