"""A batch as all vendors have it: calls that were handed over together, and how far they are."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal, get_args

Status = Literal["validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled"]
"""In OpenAI's words; Anthropic's follow from them."""
End = Literal["completed", "failed", "expired", "cancelled"]
ENDS: Final = frozenset(get_args(End))


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A call of a batch: its id and the body that would be sent if it were made alone."""

    custom_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call of a batch came out.

    Attributes:
        custom_id: Of the call.
        status: The HTTP status it would have alone, or why it has none.
        body: The response body; empty where there is none.
        is_halved: Whether half of its line is all that is told of it.
    """

    custom_id: str
    status: int | Literal["expired", "cancelled"]
    body: bytes = b""
    is_halved: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether the model has answered."""
        return self.status == HTTPStatus.OK


@dataclass(slots=True)
class Batch:
    """One batch. What was asked and answered is forgotten when it ends; the vendor's files have the answers.

    Attributes:
        seconds: From its making to its end, if it is not called off.
        never_reached: The places of the calls that expire.
        problems: Why it fails in the validation, as OpenAI's `errors` have it.
        metadata: What the submitter attached to it, and `filename` how its input file is called; where there are any.
        vendor: What only one vendor has of it, by the keys of the vendor's object.
        reached: When it got each of its statuses, in seconds since the epoch.
        results: Of the calls that are done.
    """

    batch_id: str
    provider: str
    custom_ids: tuple[str, ...]
    calls: Sequence[BatchCall]
    seconds: float
    never_reached: frozenset[int] = frozenset()
    problems: Sequence[Mapping[str, object]] = ()
    metadata: Mapping[str, str] | None = None
    filename: str | None = None
    vendor: dict[str, Any] = field(default_factory=dict)
    reached: dict[Status, float] = field(default_factory=lambda: {"validating": time.time()})
    results: list[CallResult] = field(default_factory=list)
    answered: int = 0
    erred: int = 0
    expired: int = 0
    cancelled: int = 0
    _nudged: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> Status:
        """Where it is now."""
        return next(reversed(self.reached))

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDS

    def move_to(self, status: Status) -> None:
        """Go on to another status, unless it has ended."""
        if not self.has_ended:
            self.reached[status] = time.time()

    def add(self, result: CallResult) -> None:
        """Note how a call came out."""
        self.results.append(result)
        match result.status:
            case HTTPStatus.OK:
                self.answered += 1
            case "expired":
                self.expired += 1
            case "cancelled":
                self.cancelled += 1
            case _:
                self.erred += 1

    def call_off(self) -> None:
        """Have it end soon; the calls that are not done by now are cancelled."""
        if self.status != "cancelling":
            self.move_to("cancelling")
            self._nudged.set()

    def hurry(self) -> None:
        """Have the calls that are not done answered at once."""
        self.seconds = 0
        self._nudged.set()

    async def is_called_off_within(self, seconds: float) -> bool:
        """Wait for so long, or until it is called off or hurried; let others run in any case."""
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._nudged.wait()
        return self.status == "cancelling"

    def to_dict(self) -> dict[str, object]:
        """What a test wants to know of it."""
        return {
            "provider": self.provider,
            "id": self.batch_id,
            "custom_ids": list(self.custom_ids),
            "status": self.status,
            "metadata": self.metadata,
            "filename": self.filename,
            "answered": self.answered,
        }
