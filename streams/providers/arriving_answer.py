"""An answer that arrives, in pieces or whole: what is known of it at any moment, whatever the wire format."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from streams.config.tokens import rough
from streams.providers.base import ChatCall, ChatReply, ProviderLimits
from topics.answer_assembly import AnswerAssembly, Piece
from topics.base import MAX_ID_LENGTH
from topics.journal import Usage

_TOKENS_A_MESSAGE: Final = 4
_LONGEST_MODEL: Final = 200


class EventError(Exception):
    """The provider reports an error in the middle of a stream; `error` is what it says about it."""

    def __init__(self, error: object) -> None:
        super().__init__("error event")
        self.error = error


class ArrivingAnswer(ABC):
    """The answer to one call as far as it has arrived, in events or whole; a subclass reads a wire format.

    Attributes:
        finish_reason: As in `ChatReply`; None until the provider says that the answer is whole.
        usage: As the provider counts it so far; None before it has said anything.
        logprobs: As in `ChatReply`, so far.
        limits: From the headers.
        begun: Whether the response's head has come; from then on the provider may bill the call.
        ended: Whether the stream's last event has come.
        first_token_ms: As in `ChatReply`; None before the first piece.
        model: As in `ChatReply`; None before the response has said so.
    """

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self._assembly = AnswerAssembly()
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.logprobs: dict[str, Any] | None = None
        self.limits: ProviderLimits | None = None
        self.begun = False
        self.ended = False
        self.first_token_ms: float | None = None
        self.model: str | None = None

    @abstractmethod
    def read(self, data: str) -> Iterator[Piece]:
        """Take an event in and yield what it has of the answer.

        Raises:
            pydantic.ValidationError: The event is not in the wire format.
            EventError: The event is an error.
        """

    @abstractmethod
    def read_whole(self, content: bytes) -> Iterator[Piece]:
        """Take a response body in, and yield the answer that it has.

        Raises:
            pydantic.ValidationError: It is not in the wire format.
        """

    @property
    def is_whole(self) -> bool:
        """Whether the answer is complete; what follows is about the call, not of the answer."""
        return self.ended or self.finish_reason is not None

    def take(self, data: str) -> list[Piece]:
        """Take an event in, keep its pieces and return them; raises what `read` does."""
        return self._keep(self.read(data))

    def take_whole(self, content: bytes) -> list[Piece]:
        """The same of an answer that came in one; raises what `read_whole` does."""
        return self._keep(self.read_whole(content))

    def _keep(self, pieces: Iterator[Piece]) -> list[Piece]:
        kept = list(pieces)
        for piece in kept:
            self._assembly.add(piece)
        return kept

    def billed(self) -> Usage:
        """What the call costs by now: as the provider said, or estimated where it has not said all of it."""
        estimate = estimate_usage(self._call, self._assembly.written)
        told = self.usage
        if told is None:
            return estimate
        if self.is_whole:
            return told
        # What it says before the end is true of the input; the output was still being counted.
        return told.model_copy(update={"output": max(told.output, estimate.output), "source": "estimated"})

    def reply(self) -> ChatReply:
        """Return the whole answer."""
        calls, finish = self._assembly.tool_calls, self.finish_reason or "other"
        return ChatReply(
            content=self._assembly.text,
            # A model that was made to call a tool ends with `stop` at some vendors.
            finish_reason="tool_calls" if calls and finish == "stop" else finish,
            usage=self.billed(),
            first_token_ms=self.first_token_ms,
            limits=self.limits,
            model=self.model,
            tool_calls=calls,
            parts=self._assembly.parts,
            logprobs=self.logprobs,
        )


def model_named(value: Any) -> str | None:  # noqa: ANN401 - whatever the response has there
    """Return the model that a response names; one that is no plain name does not make the answer unreadable."""
    return value if isinstance(value, str) and len(value) <= _LONGEST_MODEL else None


def call_id_named(value: str | None) -> str | None:
    """Return the id that a response gives a call; a call is known by its place where that is none of use."""
    return value if value and len(value) <= MAX_ID_LENGTH else None


def estimate_usage(call: ChatCall, written: str) -> Usage:
    """Estimate tokens where the provider names none: four characters a token, and four tokens a message."""
    asked = _TOKENS_A_MESSAGE * len(call.prompt.messages) + call.prompt.size.rough_tokens
    return Usage(input=asked, output=rough(written), source="estimated")
