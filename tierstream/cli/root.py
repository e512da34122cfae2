"""The root of the commands: loads the module of the one that is called, and reports what goes wrong in it."""

import logging
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as the list of all commands shows it.

    Attributes:
        name: On the command line.
        module: In `tierstream.cli.commands`; its `register` adds the command.
        summary: One sentence: of a command the first one of its description, of a group the whole.
    """

    name: str
    module: str
    summary: str


class RootGroup(TyperGroup):
    """Knows its commands by name and summary until one is called, for most take a while to import."""

    listed: ClassVar[tuple[Listed, ...]] = ()

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's
        super().__init__(**attributes)
        self._modules = {one.name: one.module for one in self.listed}
        self.commands.update({one.name: TyperCommand(one.name, help=one.summary) for one in self.listed})

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's own types are private
        """List the commands in the order in which they are shown."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """Find the command that is called, and load it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, self._load(name) if name in self._modules else found, rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the command; an exception that a user can act on becomes a line and an exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever reads our output has read enough, as `head` does.
            _drop_output()
            raise typer.Exit from None
        except Exception as error:
            from tierstream.cli.errors import USAGE, explain, show_error  # noqa: PLC0415 - brings the clients

            lines = explain(error)
            if lines is None:
                raise
            log.debug("the error in full", exc_info=error)
            for line in lines.splitlines():
                show_error(line)
            raise typer.Exit(USAGE) from None

    def _load(self, name: str) -> Any:  # noqa: ANN401
        loaded = typer.Typer(rich_markup_mode=self.rich_markup_mode)
        import_module(f"tierstream.cli.commands.{self._modules[name]}").register(loaded)
        command = typer.main.get_group(loaded).commands[name]
        if isinstance(command, TyperGroup):
            command.help = self.commands[name].help
        return command


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that the end of the process does not fail over it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
