"""What the stage that learns is made of: each lesson draws one kind of conclusion from what a deployment sees."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from topics.base import Record
from topics.feedback import Feedback
from topics.requests import Request
from topics.results import Result


class Lesson:
    """Takes in what happened, and says what follows from it for all processes.

    Records come in the order of their partitions, but not of their topics: a result may come before its request. Some
    come again when another process takes over and reads back.
    """

    reads_requests: ClassVar[bool] = False
    """Whether it wants the texts of requests: reading them costs as much as all else."""

    def on_request(self, request: Request, asked_ms: int) -> None:
        """Take in a request that the broker appended at `asked_ms` (ms since the epoch)."""

    def on_result(self, result: Result) -> None:
        """Take in how a request ended."""

    def on_feedback(self, feedback: Feedback) -> None:
        """Take in what somebody thinks of a result."""

    def conclusions(self, now: datetime) -> Sequence[Record]:
        """Return the records of `llm.control` that are to be published now, without those that still hold."""
        del now
        return ()

    def outdated(self, now: datetime) -> Sequence[str]:
        """Return the keys of its records that nobody needs any more; each is returned once."""
        del now
        return ()
