"""One HTTP request: who asks, and how they are answered, in the words and headers of the API that they speak."""

import logging
import math
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from tierstream.serve.bodies import ClientGoneError, read_headers
from tierstream.serve.door import Door
from tierstream.serve.keys import Admission
from tierstream.serve.rate_limits import Allowance
from tierstream.serve.request_ids import new_request_id
from tierstream.serve.surface import Caller, DoorError, EventWriter, Surface

log = logging.getLogger(__name__)

ANTHROPIC: Final = "messages"
"""The surface of Anthropic's API; the others speak as OpenAI's."""
_GONE: Final = 499
"""What is counted where the client did not wait for the answer."""

RawHeaders = list[tuple[bytes, bytes]]


class Call:
    """A request and its response.

    Args:
        door: That is asked.
        surface: In whose words.
        scope: As ASGI has it.
        receive: Of the same.
        send: Of the same.
    """

    def __init__(self, door: Door, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
        self.door = door
        self.surface = surface
        self.scope = scope
        self.receive = receive
        self.request_id = new_request_id()
        """Of the request on `llm.requests` where there is one, else of this HTTP request alone."""
        self.headers: Mapping[str, str] = {}
        self.status = 0
        """Of the response, once there is one."""
        self._send = send
        self._admission = Admission(Caller())
        self._writer: EventWriter | None = None

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self._admission.caller

    def admit(self) -> None:
        """Read the headers, and find out who asks.

        Raises:
            DoorError: They are not let in, or not now.
        """
        self.headers = read_headers(self.scope["headers"], self.door.settings.serve.header_max_bytes)
        self._admission = self.door.keys.admit(self.headers)
        allowance = self._admission.allowance
        if allowance is not None and allowance.retry_after_s:
            message = f"the key may send {allowance.limit} requests a minute; come back later"
            raise DoorError(429, "rate_limit_exceeded", message, retry_after_s=allowance.retry_after_s, may_retry=True)

    async def answer(self, body: Mapping[str, Any], status: int = 200) -> None:
        """Respond with a JSON object."""
        await self._respond(status, body, [])

    async def fail(self, error: DoorError) -> None:
        """Say why there is no answer, or no more of it."""
        if self._writer is not None:
            await self.write(self._writer.fail(error))
            await self.end()
            return
        if self.status:
            # It has an answer, whatever went wrong afterwards.
            return
        headers: RawHeaders = []
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(math.ceil(error.retry_after_s), 1)))
        if error.may_retry is not None:
            headers.append((b"x-should-retry", b"true" if error.may_retry else b"false"))
        if error.status == 401:  # noqa: PLR2004 - HTTP's
            headers.append((b"www-authenticate", b"Bearer"))
        await self._respond(error.status, self.surface.error(error, self.request_id), headers)

    async def begin(self, writer: EventWriter) -> None:
        """Begin a stream of server-sent events, unless it has begun; from here on errors are events too."""
        if self._writer is not None:
            return
        self._writer = writer
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        # Or nginx would collect what is meant to arrive piece by piece.
        headers += [(b"x-accel-buffering", b"no")]
        self.status = 200
        await self._start(self.status, headers)
        await self.write(writer.begin())

    async def begin_download(self, media_type: str) -> None:
        """Begin a stream of bytes; from here on there is no way to say what goes wrong but to break it off."""
        self.status = 200
        await self._start(self.status, [(b"content-type", media_type.encode())])

    async def write(self, data: bytes) -> None:
        """Send a part of a stream."""
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End a stream."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _respond(self, status: int, body: Mapping[str, Any], headers: RawHeaders) -> None:
        self.status = status
        data = to_json(body)
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def _start(self, status: int, headers: RawHeaders) -> None:
        is_anthropic = self.surface.name == ANTHROPIC
        headers.append((b"request-id" if is_anthropic else b"x-request-id", self.request_id.encode()))
        if self._admission.allowance is not None:
            headers += (_anthropic_limits if is_anthropic else _openai_limits)(self._admission.allowance)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


Handler = Callable[[Call], Awaitable[None]]


class Endpoint:
    """An address of the door: lets callers in, has them served, and says what went wrong.

    Args:
        door: Whose address.
        surface: Whose words it speaks.
        handle: Serves a call that is let in.
    """

    def __init__(self, door: Door, surface: Surface, handle: Handler) -> None:
        self._door = door
        self._surface = surface
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        began = time.monotonic()
        call = Call(self._door, self._surface, scope, receive, send)
        try:
            call.admit()
            await self._handle(call)
        except DoorError as error:
            await call.fail(error)
        except ClientGoneError:
            call.status = _GONE
        except Exception as error:  # noqa: BLE001 - a bug: whoever asks gets an answer, and the log no text of theirs
            place = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s raised %s\n%s", self._surface.name, type(error).__name__, place)  # noqa: TRY400
            await call.fail(DoorError(500, "internal_error", "the door has a fault; its log says where"))
        self._door.counts.answered(self._surface.name, call.status, time.monotonic() - began)


def _openai_limits(allowance: Allowance) -> RawHeaders:
    """As https://platform.openai.com/docs/guides/rate-limits names them."""
    return [
        (b"x-ratelimit-limit-requests", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset-requests", b"%dms" % (allowance.reset_s * 1000)),
    ]


def _anthropic_limits(allowance: Allowance) -> RawHeaders:
    """As https://docs.claude.com/en/api/rate-limits names them."""
    reset = datetime.now(UTC) + timedelta(seconds=allowance.reset_s)
    return [
        (b"anthropic-ratelimit-requests-limit", b"%d" % allowance.limit),
        (b"anthropic-ratelimit-requests-remaining", b"%d" % allowance.remaining),
        (b"anthropic-ratelimit-requests-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    ]
