"""The generated modules are what the .proto files say."""

import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).resolve().parents[2] / "proto"
NAMES = ("context", "market", "model_server")


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_module_is_what_the_compiler_writes(name: str, tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-Irelentless/proto/gen={PROTO}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"),
            f"relentless/proto/gen/{name}.proto",
        ],
        check=True,
        capture_output=True,
    )
    written = tmp_path / "relentless" / "proto" / "gen"
    for path in written.iterdir():
        assert path.read_text() == (PROTO / "gen" / path.name).read_text(), (
            f"run: make proto ({name})"
        )
