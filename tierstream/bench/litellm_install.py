"""LiteLLM's proxy in a virtual environment of its own: what it needs must not meet what we need."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tierstream.stack.errors import StackError
from tierstream.stack.process import run_to_end
from tierstream.stack.user_cache import user_cache

# Pinned for figures that can be repeated, and for safety: 1.107.0 was a compromised release.
LITELLM_VERSION: Final = "1.108.7"
_PACKAGES: Final = (f"litellm[proxy]=={LITELLM_VERSION}", "httptools==0.9.0")
"""uvicorn takes httptools, the faster of its parsers, where it is installed; uvloop comes with the proxy."""
_DONE: Final = "complete"


async def installed_litellm(tell: Callable[[str], None]) -> Path:
    """Return the folder of LiteLLM's programs, installed and compiled to bytecode the first time.

    Args:
        tell: Is told of an installation, which takes minutes.

    Raises:
        StackError: It can't be installed.
    """
    home = user_cache() / f"litellm-{LITELLM_VERSION}"
    programs = home / "bin"
    if (home / _DONE).exists():
        return programs
    tell(f"installing LiteLLM {LITELLM_VERSION} into {home} (first time only)")
    # What an installation that was interrupted has left may be of any state.
    shutil.rmtree(home, ignore_errors=True)
    await _run(sys.executable, "-m", "venv", str(home))
    python = str(programs / "python")
    await _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES)
    await _run(python, "-m", "compileall", "-q", str(home / "lib"), checks=False)
    (home / _DONE).touch()
    return programs


async def _run(*command: str, checks: bool = True) -> None:
    exit_code, output = await run_to_end(*command, env=litellm_environment())
    if exit_code and checks:
        lines = output.strip().splitlines() or ["no reason given"]
        raise StackError(f"LiteLLM {LITELLM_VERSION} can't be installed: {lines[-1]}")


def litellm_environment() -> dict[str, str]:
    """Return our environment for processes of LiteLLM, which start from bytecode, whatever ours do."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
