"""OpenAI's chat completions. Source: https://platform.openai.com/docs/api-reference/chat."""

from collections.abc import Mapping
from typing import Any

from tierstream.serve.chat_completions.events import ChunkWriter
from tierstream.serve.chat_completions.reading import read
from tierstream.serve.chat_completions.writing import completion
from tierstream.serve.openai_shapes import openai_error
from tierstream.serve.surface import Asked, Caller, DoorError, EventWriter, Targets
from topics.base import Identifier
from topics.results import Result


class ChatCompletions:
    """`POST /v1/chat/completions`."""

    name = "chat_completions"

    def read(
        self,
        body: Mapping[str, Any],
        headers: Mapping[str, str],  # noqa: ARG002 - of the protocol: other APIs have versions
        *,
        request_id: Identifier,
        caller: Caller,
        targets: Targets,
        now_s: int,
    ) -> Asked:
        """Read a body."""
        return read(body, request_id=request_id, caller=caller, targets=targets, now_s=now_s)

    def answer(self, asked: Asked, result: Result) -> dict[str, Any]:
        """Write a `chat.completion`."""
        return completion(asked, result)

    def events(self, asked: Asked) -> EventWriter:
        """Return a writer of `chat.completion.chunk` events."""
        return ChunkWriter(asked)

    def error(self, error: DoorError, http_request_id: str) -> dict[str, Any]:  # noqa: ARG002 - it is in a header
        """Write the body of an error response."""
        return openai_error(error)
