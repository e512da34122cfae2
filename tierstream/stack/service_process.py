"""What the process of a service owes whoever started it: it stops when it is asked to, and says when it is ready."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Final

READY_FILE_VARIABLE: Final = "TIERSTREAM_READY_FILE"


def stop_signal() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set from now on."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def announce_ready() -> None:
    """Write the pid into the file that the environment names, if it names one."""
    if path := os.environ.get(READY_FILE_VARIABLE):
        # Who waits for the file says so when it does not come.
        with contextlib.suppress(OSError):
            Path(path).write_text(str(os.getpid()), encoding="ascii")
