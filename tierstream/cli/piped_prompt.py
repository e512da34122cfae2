"""A prompt that comes through a pipe."""

import sys

import typer

from tierstream.client.request_file import InputError


def piped_prompt(ways: str) -> str:
    """Read the prompt from stdin.

    Args:
        ways: How else it may be given, for who gives none.

    Raises:
        typer.BadParameter: stdin is a terminal.
        InputError: It is no text.
    """
    if sys.stdin.isatty():
        raise typer.BadParameter(f"no prompt: give it {ways}")
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        raise InputError("stdin: not UTF-8") from None
