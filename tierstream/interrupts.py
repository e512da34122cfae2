"""Ctrl-C while the program is still being imported: it ends at once, without the traceback of whatever was at it."""

import os
import signal
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as a shell has it."""


def end_at_once() -> None:
    """Let Ctrl-C end the process on the spot: nothing has been started that would have to be ended."""
    # A script that starts us in the background has it ignored, which stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def interrupt_again() -> None:
    """Let Ctrl-C interrupt as usual, for commands that have something to end."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is Python's
    os._exit(INTERRUPTED)
