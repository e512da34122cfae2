"""Batches of a provider: many calls handed over at once, answered in its own time at a lower price.

A batch must be submitted once: it is billed each time. So whoever submits gives it a name of its own, and where nobody
knows whether it arrived, it is looked for by that name. Nothing here is repeated by itself but reading.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from streams.providers.base import ChatCall, ChatReply, ErrorKind, ProviderError


class UndecidedError(Exception):
    """Whether a batch was submitted can't be told yet; the message says what has to end first."""


class NotSubmittedError(ProviderError):
    """A submission failed before the request that makes the batch."""

    @classmethod
    def because_of(cls, error: ProviderError) -> Self:
        """Say it of an error of what has to be there first."""
        return cls(
            error.kind, str(error), status=error.status, retry_after_ms=error.retry_after_ms, limits=error.limits
        )


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a provider is with a batch.

    Attributes:
        has_ended: Whether nothing more will come of it.
        refusal: Why the provider took none of it, in a few words without content; None: it did.
    """

    has_ended: bool
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class LineEnd:
    """How a call of a batch came out: a body, or an error.

    Attributes:
        custom_id: Of the call.
        body: The response body of the call; None where there is an error.
        error: Why there is no answer. Its kind is `batch_ended` where the batch was over before the call's turn.
    """

    custom_id: str
    body: bytes | None
    error: ProviderError | None = None


class ProviderBatches(Protocol):
    """The batches of one provider.

    Every method that sends something raises `ProviderError`; the message holds no key, prompt or answer.
    """

    async def write_line(self, custom_id: str, call: ChatCall) -> bytes:
        """Write a call as a line of a batch, without the line break.

        Args:
            custom_id: Names the call, and no other one of any batch: 1 to 64 of `A-Za-z0-9_-`.
            call: Its body is that which `Provider.complete` would send.

        Raises:
            ProviderError: The wire format can't express the call.
        """

    async def submit(self, name: str, lines: Sequence[bytes], may_leave: Callable[[], Awaitable[None]]) -> str:
        """Hand a batch over; return the provider's id of it.

        Args:
            name: That it can be found by: 1 to 64 of `A-Za-z0-9_-`.
            lines: Of `write_line`; all of one model.
            may_leave: Awaited right before the batch is made; what it raises keeps it from being made.

        Raises:
            ProviderError: It was not taken; or, where `may_have_arrived` says so, nobody knows.
        """

    async def find(self, name: str, custom_ids: Sequence[str], since: datetime) -> str | None:
        """Look for a batch that somebody may have submitted; return the provider's id of it, None where there is none.

        Args:
            name: That it was submitted under.
            custom_ids: Of all calls that it may have; no other batch has any of them.
            since: It was not submitted before that.

        Raises:
            UndecidedError: It may be one of those that are still open, and can be told apart once they have ended.
            ProviderError: The provider can't be asked.
        """

    async def progress(self, batch_id: str) -> BatchProgress:
        """Ask how far a batch is."""

    async def cancel(self, batch_id: str) -> None:
        """Call a batch off; what is done by then stays, and it ends soon. One that has ended stays as it is."""

    def line_ends(self, batch_id: str) -> AsyncGenerator[LineEnd, None]:
        """Yield how the calls of a batch that has ended came out, in any order; of some there may be nothing."""

    def read(self, call: ChatCall, body: bytes) -> ChatReply:
        """Read the body of a call, as `Provider.complete` reads a response.

        Raises:
            ProviderError: There is no usable answer in it; what is billed stands in the error.
        """


_CLIENT_ERRORS = range(400, 500)


def may_have_arrived(error: ProviderError) -> bool:
    """Whether a batch may have been taken although its submission failed: the answer was lost, or was of no use."""
    if isinstance(error, NotSubmittedError):
        return False
    return error.status not in _CLIENT_ERRORS and error.kind is not ErrorKind.CONNECTION
