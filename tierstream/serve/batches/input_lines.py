"""The lines of a batch's file, read as requests.

A line that is not of the form fails the batch, as it does at OpenAI; a body that its API does not take fails its line.

Source: https://platform.openai.com/docs/api-reference/batch/request-input
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final

from streams.config.settings import Settings
from tierstream.serve.bodies import json_object
from tierstream.serve.surface import Asked, Caller, DoorError, Surface, Targets
from topics.batches import BatchError, BatchLine, Refusal
from topics.requests import Request, ServiceClass

MOST_ERRORS: Final = 100
"""That are told of one file."""
_LONGEST_ID: Final = 512
_HEADERS: Final = {"anthropic-version": "2023-06-01"}
"""What lines have no place for."""


class LineError(Exception):
    """A line that is not of the form."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class LineReader:
    """Reads the lines of one batch, in their order.

    Args:
        surface: Whose bodies they have.
        endpoint: The address that they name.
        caller: Who asks.
        targets: Looks models up.
        request_prefix: Of the ids of the requests.
        settings: How large a request may be, and how deep a line may be nested.
        now_s: Seconds since the epoch.
    """

    def __init__(
        self,
        surface: Surface,
        endpoint: str,
        *,
        caller: Caller,
        targets: Targets,
        request_prefix: str,
        settings: Settings,
        now_s: int,
    ) -> None:
        self._surface = surface
        self._endpoint = endpoint
        self._caller = caller
        self._targets = targets
        self._prefix = request_prefix
        self._max_bytes = settings.kafka.request_max_bytes
        self._depth = settings.serve.json_depth
        self._now_s = now_s
        self._seen: set[bytes] = set()
        self.count = 0
        """Lines that are of the form."""
        self.errors: list[BatchError] = []

    def read(self, number: int, text: bytes) -> BatchLine | None:
        """Read a line; None where it is not of the form, which `errors` tells.

        Args:
            number: Of the line in its file, from 1.
            text: Without its end.
        """
        try:
            line = self._line(text)
        except LineError as error:
            self.errors.append(BatchError(code=error.code, message=error.message, param=error.param, line=number))
            return None
        self.count += 1
        return line

    def finish(self) -> None:
        """See whether there were any lines."""
        if not self.count and not self.errors:
            self.errors.append(BatchError(code="empty_file", message="the file has no lines"))

    def _line(self, text: bytes) -> BatchLine:
        try:
            line = json_object(text, self._depth)
        except DoorError:
            raise LineError("invalid_json_line", "the line is not a JSON object in UTF-8, or nested too deep") from None
        custom_id = self._custom_id(line.get("custom_id"))
        if line.get("method") != "POST":
            raise LineError("invalid_method", "the method must be POST", "method")
        if line.get("url") != self._endpoint:
            raise LineError("mismatched_endpoint", f"the url must be {self._endpoint}, as of the batch", "url")
        body = line.get("body")
        if not isinstance(body, dict):
            raise LineError("invalid_body", "the body must be a JSON object", "body")
        return self._translated(custom_id, body)

    def _custom_id(self, custom_id: object) -> str:
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _LONGEST_ID:
            message = f"custom_id must be a text of up to {_LONGEST_ID} characters"
            raise LineError("invalid_custom_id", message, "custom_id")
        # Of a line each all of them are remembered.
        short = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
        if short in self._seen:
            raise LineError("duplicate_custom_id", "another line has this custom_id", "custom_id")
        self._seen.add(short)
        return custom_id

    def _translated(self, custom_id: str, body: dict[str, Any]) -> BatchLine:
        try:
            asked = self._surface.read(
                body,
                _HEADERS,
                request_id=f"{self._prefix}-{self.count}",
                caller=self._caller,
                targets=self._targets,
                now_s=self._now_s,
            )
            request = self._request(asked)
        except DoorError as error:
            refusal = Refusal(status=error.status, code=error.code, message=error.message, param=error.param)
            return BatchLine(custom_id=custom_id, refusal=refusal)
        return BatchLine(custom_id=custom_id, model=asked.target.name, request=request, echo=dict(asked.echo))

    def _request(self, asked: Asked) -> Request:
        """Return what is asked, as something that nobody waits for."""
        if asked.streams:
            raise DoorError(400, "invalid_request", "lines of a batch can't stream", param="stream")
        if asked.echo.get("previous_response_id") is not None:
            message = "lines of a batch can't go on from a response: send its items"
            raise DoorError(400, "invalid_request", message, param="previous_response_id")
        request = asked.request.model_copy(update={"service_class": ServiceClass.BULK})
        if len(request.model_dump_json().encode()) > self._max_bytes:
            message = f"the request is too large: at most {self._max_bytes} bytes are accepted"
            raise DoorError(413, "request_too_large", message)
        return request


async def lines_of(data: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[tuple[int, bytes]]:
    """Split what comes piece by piece into lines, with their numbers from 1; those with nothing in them are left out.

    Args:
        data: Of a file.
        max_bytes: Of a line. One that is longer comes cut off, and can't be read.
    """
    number, rest = 1, bytearray()
    async for piece in data:
        *ended, last = piece.split(b"\n")
        for part in ended:
            rest += part
            if line := bytes(rest[:max_bytes]).strip():
                yield number, line
            number += 1
            rest.clear()
        rest += last[: max(max_bytes - len(rest), 0)]
    if line := bytes(rest[:max_bytes]).strip():
        yield number, line
