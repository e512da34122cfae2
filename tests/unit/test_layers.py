"""The layers: imports point one way, and Faust stays behind one module."""

import subprocess
import sys
from pathlib import Path


def test_imports_keep_the_contracts_of_pyproject():
    # In a process of its own: the linter configures logging anew, which would silence every logger of this one.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
