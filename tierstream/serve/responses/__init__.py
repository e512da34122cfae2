"""OpenAI's responses.

Sources: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org/specification.
"""

from collections.abc import Mapping
from typing import Any

from tierstream.serve.openai_shapes import openai_error
from tierstream.serve.responses.events import ResponseWriter
from tierstream.serve.responses.reading import asked_of, continued, read
from tierstream.serve.responses.writing import Waiting, answered, failed, unfinished
from tierstream.serve.surface import Asked, Caller, DoorError, Targets
from topics.base import Identifier
from topics.requests import Request
from topics.results import Result


class Responses:
    """`POST /v1/responses`, and `GET /v1/responses/{id}`."""

    name = "responses"

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
        """Read a body; what a `previous_response_id` stands for is put before its messages by `continued`."""
        return read(body, request_id=request_id, caller=caller, targets=targets, now_s=now_s)

    def continued(self, asked: Asked, earlier: Request, result: Result) -> Asked:
        """Have a request go on where an earlier one ended: its conversation, but not its instructions.

        Args:
            asked: The request.
            earlier: The one whose answer it names by `previous_response_id`.
            result: That answer.
        """
        return continued(asked, earlier, result)

    def asked_of(self, request: Request, *, created_s: int, token: str) -> Asked:
        """Say what was asked, for a retrieval, from the record alone.

        What the record does not know is as if it had not been said: `metadata`, `background`, `store` and the like.

        Args:
            request: The record.
            created_s: When it was asked, seconds since the epoch.
            token: As in Asked.
        """
        return asked_of(request, created_s=created_s, token=token)

    def answer(self, asked: Asked, result: Result) -> dict[str, Any]:
        """Write a `response` that is `completed` or `incomplete`."""
        return answered(asked, result)

    def failed(self, asked: Asked, error: DoorError) -> dict[str, Any]:
        """Write a `response` that has no answer."""
        return failed(asked, error)

    def unfinished(self, asked: Asked, status: Waiting) -> dict[str, Any]:
        """Write a `response` that has no answer yet, or none any more."""
        return unfinished(asked, status)

    def events(self, asked: Asked, *, after: int | None = None) -> ResponseWriter:
        """Return a writer of the events from `response.created` on.

        Args:
            asked: What is answered.
            after: Number of the event from behind which on they are written; the pieces have to be given from the
                first one on all the same, for the numbers follow from them.
        """
        return ResponseWriter(asked, after=after)

    def error(self, error: DoorError, http_request_id: str) -> dict[str, Any]:  # noqa: ARG002 - it is in a header
        """Write the body of an error response."""
        return openai_error(error)
