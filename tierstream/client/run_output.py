"""The output file of a run, which survives a kill at any moment: results a line, and a state file beside it."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.kafka.clock import utc_now
from tierstream.client.request_file import InputError
from topics.base import Timestamp
from topics.results import Result


class RunState(BaseModel):
    """What has to be known to go on with a run."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    prefix: str
    started_at: Timestamp


class RunOutput:
    """Opens the output of a run, new or interrupted, for this process alone.

    Args:
        path: The output file; the state is kept in `<path>.state.json`.
        run_id: Names the run; an output of another one is refused.
        prefix: Of the topics.
    """

    def __init__(self, path: Path, *, run_id: str, prefix: str) -> None:
        self._path = path
        self._state_path = path.with_name(f"{path.name}.state.json")
        self._run_id = run_id
        self._prefix = prefix
        self._opened: IO[bytes] | None = None
        self._started_at = utc_now()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        opened = self._path.open("a+b")
        try:
            self._lock(opened)
            self._check_state(opened)
            self._drop_partial_line(opened)
        except BaseException:
            opened.close()
            raise
        self._opened = opened
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def started_at(self) -> datetime:
        """When the run was started for the first time."""
        return self._started_at

    def written(self, note: Callable[[Result], None]) -> None:
        """Pass on the results that the file has.

        Raises:
            InputError: A line is not a result.
        """
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    note(Result.model_validate_json(line))
                except ValidationError:
                    raise InputError(
                        f"{self._path} line {number}: not a result: repair the line, or choose another --output"
                    ) from None

    def write(self, result: Result) -> None:
        """Append a result; it is with the operating system when this returns."""
        if self._opened is None:
            raise RuntimeError("the output is not open")
        self._opened.write(result.model_dump_json().encode() + b"\n")
        self._opened.flush()

    def _lock(self, opened: IO[bytes]) -> None:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self._path}: another run is writing to it") from None

    def _check_state(self, opened: IO[bytes]) -> None:
        try:
            state = RunState.model_validate_json(self._state_path.read_bytes())
        except FileNotFoundError:
            if opened.seek(0, os.SEEK_END):
                raise InputError(
                    f"{self._path}: exists and is not the output of a run: choose another --output"
                ) from None
            self._save(RunState(run_id=self._run_id, prefix=self._prefix, started_at=self._started_at))
            return
        except ValidationError:
            raise InputError(f"{self._state_path}: not the state of a run: choose another --output") from None
        if (state.run_id, state.prefix) != (self._run_id, self._prefix):
            raise InputError(
                f"{self._path}: belongs to another run (another input, run id or topic prefix): choose another --output"
            )
        self._started_at = state.started_at

    def _save(self, state: RunState) -> None:
        temporary = self._state_path.with_name(f"{self._state_path.name}.new")
        try:
            with temporary.open("wb") as file:
                file.write(state.model_dump_json(indent=2).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._state_path)
        finally:
            with suppress(OSError):
                temporary.unlink()

    @staticmethod
    def _drop_partial_line(opened: IO[bytes]) -> None:
        """Cut what a killed process left of its last line; that result is read from the topic again."""
        end = position = opened.seek(0, os.SEEK_END)
        while position:
            start = max(0, position - 65_536)
            opened.seek(start)
            newline = opened.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < end:
            opened.truncate(position)
