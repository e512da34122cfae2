"""Parsing `tierstream ...` command lines as the program would, without running them."""

import re
import shlex
from typing import Any

import typer

from tierstream.cli import app

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OPERATORS = frozenset(("&&", "||", "|", "&", ";", ">", "<", ">>"))


def parse(arguments: list[str]) -> None:
    """Parse the words after `tierstream`.

    Raises:
        typer's usage errors: No such command or option, or a value that the option does not take.
    """
    _parse(typer.main.get_command(app), "tierstream", arguments, None)


def _parse(command: Any, name: str, arguments: list[str], parent: Any) -> None:
    is_group = hasattr(command, "resolve_command")
    if is_group and not arguments:
        return
    with command.make_context(name, list(arguments), parent=parent) as context:
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if is_group and rest:
            found_name, found, found_arguments = command.resolve_command(context, rest)
            _parse(found, found_name, found_arguments, context)


def commands_in(line: str) -> list[list[str]]:
    """Find the words after each `tierstream` of a shell line; variables before it and other programs are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _OPERATORS:
            words.append(word)
            continue
        while words and _ASSIGNMENT.match(words[0]):
            del words[0]
        if words and words[0].rpartition("/")[2] == "tierstream":
            found.append(words[1:])
        words = []
    return found
