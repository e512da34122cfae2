"""What is published: a wheel that holds every file of the packages and runs without the repository."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support.deployment import clean_environment

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]

SOURCE_ONLY = tuple(f"tierstream/training/{name}" for name in ("corpus", "conversations", "answers"))
"""What the shipped models are trained on, and the checks are tuned on: of use only to whoever does that anew."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the wheel as they are installed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for package in PACKAGES for path in (folder / package).rglob("*"))
    return {str(path) for path in found if (folder / path).is_file() and "__pycache__" not in path.parts}


def test_every_file_of_the_packages_is_in_it(unpacked):
    left_out = {name for name in files(ROOT) if any(map(Path(name).is_relative_to, SOURCE_ONLY))}
    assert {str(Path(name).parent) for name in left_out} == set(SOURCE_ONLY)
    assert files(unpacked) == files(ROOT) - left_out
    assert not any((unpacked / folder).exists() for folder in SOURCE_ONLY)
    assert "streams/routing/request_classifier/model.npz" in files(unpacked)
    assert {path.suffix for path in map(Path, files(unpacked))} >= {".py", ".sql", ".toml", ".txt", ".npz", ".jsonl"}


@pytest.mark.parametrize("command", [["config", "check"], ["route", "--explain", "Is this clause binding?"]])
def test_it_runs_on_its_own(unpacked, tmp_path, command):
    """With the defaults, the table of models and the classifier that it brings."""
    code = "import runpy, tierstream; print(tierstream.__file__); runpy.run_module('tierstream', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=tmp_path,
        env={**clean_environment(), "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(unpacked))
