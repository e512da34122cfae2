"""An answer that arrives in pieces: what is known of it at any moment, whatever the wire format."""

from abc import ABC, abstractmethod
from typing import Any, Final

from streams.config.tokens import rough
from streams.providers.base import ChatCall, ChatReply, ProviderLimits
from topics.journal import Usage

_TOKENS_A_MESSAGE: Final = 4
_LONGEST_MODEL: Final = 200


class EventError(Exception):
    """The provider reports an error in the middle of a stream; `error` is what it says about it."""

    def __init__(self, error: object) -> None:
        super().__init__("error event")
        self.error = error


class StreamedAnswer(ABC):
    """The answer to one call as far as it has arrived; a subclass reads the events of a wire format.

    Attributes:
        finish_reason: As in `ChatReply`; None until the provider says that the text is whole.
        usage: As the provider counts it so far; None before it has said anything.
        limits: From the headers.
        begun: Whether the response's head has come; from then on the provider may bill the call.
        ended: Whether the stream's last event has come.
        first_token_ms: As in `ChatReply`; None before the first text.
        model: As in `ChatReply`; None before the response has said so.
    """

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self._pieces: list[str] = []
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.limits: ProviderLimits | None = None
        self.begun = False
        self.ended = False
        self.first_token_ms: float | None = None
        self.model: str | None = None

    @abstractmethod
    def read(self, data: str) -> str:
        """Take an event in and return its text, empty for none.

        Raises:
            pydantic.ValidationError: The event is not in the wire format.
            EventError: The event is an error.
        """

    @property
    def is_whole(self) -> bool:
        """Whether the text is complete; what follows is about the call, not of the answer."""
        return self.ended or self.finish_reason is not None

    def take(self, data: str) -> str:
        """Take an event in, keep its text and return it; raises what `read` does."""
        piece = self.read(data)
        if piece:
            self._pieces.append(piece)
        return piece

    def take_whole(self, reply: ChatReply) -> str:
        """Take in an answer that came in one, and return its text."""
        self._pieces = [reply.content]
        self.finish_reason, self.usage, self.model = reply.finish_reason, reply.usage, reply.model
        return reply.content

    def billed(self) -> Usage:
        """What the call costs by now: as the provider said, or estimated where it has not said all of it."""
        estimate = estimate_usage(self._call, "".join(self._pieces))
        told = self.usage
        if told is None:
            return estimate
        if self.is_whole:
            return told
        # What it says before the end is true of the input; the output was still being counted.
        return told.model_copy(update={"output": max(told.output, estimate.output), "source": "estimated"})

    def reply(self) -> ChatReply:
        """Return the whole answer."""
        return ChatReply(
            content="".join(self._pieces),
            finish_reason=self.finish_reason or "other",
            usage=self.billed(),
            first_token_ms=self.first_token_ms,
            limits=self.limits,
            model=self.model,
        )


def model_named(value: Any) -> str | None:  # noqa: ANN401 - whatever the response has there
    """Return the model that a response names; one that is no plain name does not make the answer unreadable."""
    return value if isinstance(value, str) and len(value) <= _LONGEST_MODEL else None


def estimate_usage(call: ChatCall, content: str) -> Usage:
    """Estimate tokens where the provider names none: four characters a token, and four tokens a message."""
    asked = sum(_TOKENS_A_MESSAGE + rough(message.text) for message in call.prompt.messages)
    return Usage(input=asked, output=rough(content), source="estimated")
