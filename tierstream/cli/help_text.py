"""Texts of `--help`."""

import inspect
import re
from collections.abc import Callable


def examples(*lines: str) -> str:
    """Write examples below the options, each on a line of its own that can be copied."""
    # Two spaces end a line in Markdown, which joins lines otherwise.
    return "  \n".join(["Examples:" if len(lines) > 1 else "Example:", *(f"`{line}`" for line in lines)])


def argument_help(function: Callable[..., object], name: str) -> str:
    """Return what the docstring of a function says of an argument."""
    arguments = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")[2]
    found = re.search(rf"^    {name}: (.*(?:\n {{5,}}.*)*)", arguments, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
