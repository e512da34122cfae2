"""Anthropic's messages. Source: https://platform.claude.com/docs/en/api/messages."""

from collections.abc import Mapping
from typing import Any

from tierstream.serve.messages.errors import anthropic_error
from tierstream.serve.messages.events import MessageWriter
from tierstream.serve.messages.input_tokens import input_tokens
from tierstream.serve.messages.reading import read
from tierstream.serve.messages.writing import message
from tierstream.serve.surface import Asked, Caller, DoorError, EventWriter, Targets
from topics.base import Identifier
from topics.results import Result


class Messages:
    """`POST /v1/messages`, and `POST /v1/messages/count_tokens`."""

    name = "messages"

    def read(
        self,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        request_id: Identifier,
        caller: Caller,
        targets: Targets,
        now_s: int,
    ) -> Asked:
        """Read a body."""
        return read(body, headers, request_id=request_id, caller=caller, targets=targets, now_s=now_s)

    def count_tokens(
        self, body: Mapping[str, Any], headers: Mapping[str, str], *, caller: Caller, targets: Targets
    ) -> dict[str, int]:
        """Say how many tokens a body has by estimate, which errs high; the arguments are those of `read`.

        Source: https://platform.claude.com/docs/en/api/messages-count-tokens.

        Raises:
            DoorError: As `read`, but that nobody has to say how long the answer may be.
        """
        asked = read({**body, "max_tokens": 1}, headers, request_id="count", caller=caller, targets=targets, now_s=0)
        return {"input_tokens": input_tokens(asked.request)}

    def answer(self, asked: Asked, result: Result) -> dict[str, Any]:
        """Write a `message`."""
        return message(asked, result)

    def events(self, asked: Asked) -> EventWriter:
        """Return a writer of the events from `message_start` to `message_stop`."""
        return MessageWriter(asked)

    def error(self, error: DoorError, http_request_id: str) -> dict[str, Any]:
        """Write the body of an error response."""
        return anthropic_error(error, http_request_id)
