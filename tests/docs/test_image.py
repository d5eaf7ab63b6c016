"""The image, checked as far as it can be without an engine: its recipe against the tree."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"^FROM ", RECIPE, flags=re.M)[1:]


def words(instruction: str, stage: str) -> list[list[str]]:
    joined = stage.replace("\\\n", " ")
    return [line.split()[1:] for line in joined.splitlines() if line.startswith(f"{instruction} ")]


def test_everything_that_the_wheel_maps_is_copied_and_exists() -> None:
    copied = {part for line in words("COPY", STAGES[0]) for part in line[:-1]}
    with (ROOT / "pyproject.toml").open("rb") as file:
        included = tomllib.load(file)["tool"]["hatch"]["build"]["only-include"]
    assert {path.split("/")[0] for path in included} <= copied
    assert all((ROOT / part).exists() for part in copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not copied & set(ignored)


def test_dependencies_are_installed_from_the_locks_with_hashes() -> None:
    installs = [line for line in STAGES[0].replace("\\\n", " ").split("&&") if "-r require" in line]
    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)


def test_the_last_stage_runs_as_nobody_special_and_holds_no_build_tools() -> None:
    last = STAGES[-1]
    assert words("USER", last) == [["10001:10001"]]
    assert last.index("USER 10001") < last.index("ENTRYPOINT")
    assert all(line[0] == "--from=build" for line in words("COPY", last))


def test_the_ports_are_those_of_the_settings() -> None:
    from relentless.configs.settings import Settings

    settings = Settings()
    ports = {int(port) for line in words("EXPOSE", STAGES[-1]) for port in line}
    assert ports == {
        settings.hub.port,
        settings.sandbox.port,
        settings.predictor.grpc_port,
        settings.predictor.feed_port,
        int(settings.model_server.address.rpartition(":")[2]),
        settings.model_server.rest_port,
    }
