"""Child processes: started in a session of their own, identified beyond their pid, stopped with patience."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict

_POLL_S = 0.05
_LOG_MAX_BYTES = 10 * 1024 * 1024
# Some systems derive the start time from a clock that is adjusted now and then.
_CREATE_TIME_TOLERANCE_S = 2.0


class ProcessIdentity(BaseModel):
    """A pid and when its process began, in seconds since the epoch: a reused pid is not the same process."""

    model_config = ConfigDict(frozen=True)

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a running process.

        Raises:
            psutil.NoSuchProcess: It has ended.
        """
        return cls(pid=pid, create_time=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it still runs; None if it ended, even if its pid lives on in another one."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < _CREATE_TIME_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


async def run_to_end(
    *command: str, env: Mapping[str, str], cwd: Path | None = None, own_session: bool = False
) -> tuple[int, str]:
    """Run a command without input; it is killed where the wait for it is cancelled.

    Args:
        command: The program and its arguments.
        env: Its environment, as a whole.
        cwd: Its working directory; None: ours.
        own_session: Whether it gets a session of its own, which the terminal's Ctrl-C does not reach.

    Returns:
        Its exit code, and all that it printed.

    Raises:
        OSError: It can't be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=cwd,
        start_new_session=own_session,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


class Child:
    """A process that we started. It doesn't see the terminal's Ctrl-C, which is for the supervisor alone."""

    def __init__(self, process: subprocess.Popen[bytes], identity: ProcessIdentity) -> None:
        self._process = process
        self.identity = identity

    @classmethod
    def start(cls, command: Sequence[str], *, env: Mapping[str, str], log_file: Path, cwd: Path | None = None) -> Self:
        """Start a command, its output appended to the log file.

        Args:
            command: The program and its arguments.
            env: Its environment, as a whole.
            log_file: Gets stdout and stderr.
            cwd: Its working directory; None: ours.

        Raises:
            OSError: The command can't be run or the log not be written.
        """
        rotate(log_file)
        with log_file.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the commands are ours
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, ProcessIdentity.of(process.pid))

    @property
    def pid(self) -> int:
        """The process id, also of its session and process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Wait for the end and return the exit code."""
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - works in any event loop
            await asyncio.sleep(_POLL_S)
        return code

    async def stop(self, timeout_s: float) -> None:
        """Send SIGTERM, and SIGKILL if it has not ended in time."""
        if self.exit_code is None:
            _signal_group(self.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(self.wait(), timeout_s)
            except TimeoutError:
                self.kill()

    def kill(self) -> None:
        """End it, and whatever it started, at once."""
        if self._process.poll() is None:
            _signal_group(self.pid, signal.SIGKILL)
            self._process.wait()


async def stop_stale(identity: ProcessIdentity, timeout_s: float) -> bool:
    """Stop a child that an earlier supervisor left behind; False if it has ended already."""
    process = identity.find()
    if process is None:
        return False
    _signal_group(identity.pid, signal.SIGTERM)
    if not await has_ended(identity, timeout_s):
        _signal_group(identity.pid, signal.SIGKILL)
        await has_ended(identity, timeout_s)
    return True


async def has_ended(identity: ProcessIdentity, timeout_s: float) -> bool:
    """Wait for the end of a process that is no child of ours; False if it still runs after the time."""
    try:
        async with asyncio.timeout(timeout_s):
            while identity.find() is not None:  # noqa: ASYNC110 - nothing tells the end of a foreign process
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return False
    return True


def rotate(log_file: Path) -> None:
    """Move a log of more than 10 MB aside; one older generation is kept."""
    if log_file.exists() and log_file.stat().st_size > _LOG_MAX_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
