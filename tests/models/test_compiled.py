"""Compiled functions where nothing can be kept on disk."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import numba.core.caching as caching

class Nowhere(caching._CacheLocator):
    @classmethod
    def from_function(cls, function, path):
        return None

caching.CacheImpl._locator_classes = [Nowhere]
from relentless.models.compiled import compiled, compiled_with

def doubled(x):
    return 2.0 * x

print(compiled(doubled)(2.0), compiled_with(doubled, fastmath={"contract"})(4.0))
"""


def test_a_read_only_install_without_a_home_compiles_for_itself(tmp_path: Path) -> None:
    """What numba raises where no locator fits is met; anything else would be a traceback here."""
    script = tmp_path / "nowhere.py"
    script.write_text(CODE)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.stdout.split() == ["4.0", "8.0"], done.stderr
