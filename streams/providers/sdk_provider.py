"""A provider on top of its vendor's SDK: connections, limits, time and errors, the same for every SDK.

The SDKs write the requests and send them (`vendor_sdk.py`); the bodies are ours. What it costs is in
docs/adr/0018-one-request-of-the-sdk.md.

Importing an SDK takes longer than all else that a worker starts with, and most workers need some of them late or never.
So each is imported when it is first needed, in a thread: the event loop goes on meanwhile.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, cast

import aiohttp
from pydantic import ValidationError

from streams.providers.arriving_answer import ArrivingAnswer, EventError
from streams.providers.base import ChatCall, ChatReply, ErrorKind, ProviderError
from streams.providers.batches import ProviderBatches
from streams.providers.failures import event_error, malformed_error, status_error, transport_error
from streams.providers.limits import read_limits
from streams.providers.reasoning import Lookup, nothing_known
from streams.providers.vendor_sdk import (
    Connection,
    HttpClient,
    HttpResponse,
    Once,
    RequestTemplate,
    Sdk,
    silence,
    with_imports,
)
from topics.answer_assembly import Piece

if TYPE_CHECKING:
    from streams.providers.sdk_batches import SdkBatches

_END_S: Final = 0.1

_STREAM_ERRORS: Final[tuple[type[Exception], ...]] = (
    aiohttp.ClientError,
    EventError,
    ValidationError,
    UnicodeDecodeError,
)


class _ServerSentEvent(Protocol):
    @property
    def data(self) -> str: ...


_ReadEvents = Callable[[HttpResponse], AsyncGenerator[_ServerSentEvent, None]]


class SdkProvider(ABC):
    """Makes calls through a vendor's SDK; a subclass knows the SDK and the wire format."""

    simulated_path: ClassVar[str] = ""
    """What the base URL of a simulated provider ends with."""
    vendor_url: ClassVar[str]
    """Base URL of the vendor's own API. Or the SDK would take it from the environment, past the settings that say who
    may see the text."""
    path: ClassVar[str]
    """Of the chat endpoint, below the base URL."""
    arriving: ClassVar[type[ArrivingAnswer]]
    """Reads what the wire format has of an answer."""
    stream_fields: ClassVar[dict[str, Any]] = {}
    """What a request for a stream has besides `stream`; a call's `extra` wins over it."""
    batches_type: ClassVar["type[SdkBatches] | None"] = None
    """Speaks its batches; None: they are not spoken here."""

    def __init__(self, connection: Connection, known: Lookup = nothing_known) -> None:
        self.name = connection.name
        self._connection = connection
        self._known = known
        self._base_url = connection.base_url or self.vendor_url
        self._template = Once(self._write_template)
        self._event_reader = Once(_load_event_reader)
        self._http = Once(self._open_http)

    @abstractmethod
    def load_sdk(self) -> Sdk:
        """Import the SDK; called in a thread."""

    @abstractmethod
    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write the call in the wire format, without the call's `extra`.

        Raises:
            ProviderError: The wire format can't express the call.
        """

    def settle_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Look at a body with the call's `extra` in it, and leave out what the API refuses beside the rest of it."""
        return body

    async def prepare(self) -> None:
        """Import the SDK and open its HTTP client, unless that is done; see `Provider.prepare`."""
        await self._template.get()
        await self._http.get()

    async def complete(self, call: ChatCall) -> ChatReply:
        """Make the call; see `Provider.complete`."""
        await self.prepare()
        body = self.write_body(call, streamed=call.on_piece is not None)
        if call.on_piece is not None:
            await self._event_reader.get()
        answer = self.arriving(call)
        await self._make(call, body, answer)
        return self._reply(answer)

    def write_body(self, call: ChatCall, *, streamed: bool) -> dict[str, Any]:
        """Write the body that is sent, but for `stream`; the SDK has to be imported, as `prepare` does.

        Raises:
            ProviderError: The wire format can't express the call.
        """
        body = {**self.request_body(call), **(self.stream_fields if streamed else {})}
        return self.settle_body(_merge(body, call.model.extra))

    def read_whole(self, call: ChatCall, content: bytes) -> ChatReply:
        """Read the body of a response that came in one.

        Raises:
            ProviderError: There is no usable answer in it.
        """
        answer = self.arriving(call)
        self._take_whole(answer, content)
        return self._reply(answer)

    def _take_whole(self, answer: ArrivingAnswer, content: bytes) -> None:
        try:
            answer.take_whole(content)
        except ValidationError as error:
            raise malformed_error(self.name, error) from None

    def _reply(self, answer: ArrivingAnswer) -> ChatReply:
        try:
            reply = answer.reply()
        except ValidationError as error:
            failure = malformed_error(self.name, error)
            failure.usage = answer.billed()
            raise failure from None
        if not reply.content.strip() and not reply.tool_calls:
            blocked = reply.finish_reason == "content_filter"
            raise ProviderError(
                ErrorKind.CONTENT_POLICY if blocked else ErrorKind.EMPTY,
                f"{self.name} answered without text (finish reason {reply.finish_reason})",
                usage=reply.usage,
                limits=reply.limits,
            )
        return reply

    @property
    def batches(self) -> ProviderBatches | None:
        """See `Provider.batches`."""
        return None if self.batches_type is None else self.batches_type(self)

    async def open_client(self, *, timeout_s: float, max_retries: int) -> tuple[Sdk, Any]:
        """Return the SDK, and a client of it for what is no call: on the connections of calls, which `close` closes.

        Args:
            timeout_s: For each read.
            max_retries: How often the SDK repeats a request by itself.
        """
        sdk, http = (await self._template.get()).sdk, await self._http.get()
        return sdk, sdk.open_client(self._connection, self._base_url, http, timeout=timeout_s, max_retries=max_retries)

    async def close(self) -> None:
        """Close the connections; a later call would open new ones."""
        http, self._http = self._http.made, Once(self._open_http)
        if http is not None:
            await http.aclose()

    async def _write_template(self) -> RequestTemplate:
        def write() -> RequestTemplate:
            sdk = self.load_sdk()
            silence(sdk.client_type)
            return asyncio.run(RequestTemplate.written_by(sdk, self._connection, self._base_url, self.path))

        return await with_imports(write)

    async def _open_http(self) -> HttpClient:
        template = await self._template.get()
        return await with_imports(lambda: template.sdk.open_http_client(use_proxy=self._connection.use_proxy))

    async def _make(self, call: ChatCall, body: dict[str, Any], answer: ArrivingAnswer) -> None:
        """Make the call within its time."""
        await call.may_leave()
        try:
            # The SDK's own timeout is for each read: a slow trickle would never end.
            async with asyncio.timeout(call.timeout_s) as limit:
                if call.on_piece is None:
                    await self._ask(call, body, answer)
                else:
                    await self._follow(call, body, answer, call.on_piece, limit)
        except TimeoutError:
            if not limit.expired():
                raise
            if not answer.ended:
                message = f"{self.name} did not answer in {call.timeout_s:g} s"
                usage = answer.billed() if answer.begun else None
                raise ProviderError(ErrorKind.TIMEOUT, message, usage=usage) from None

    async def _ask(self, call: ChatCall, body: dict[str, Any], answer: ArrivingAnswer) -> None:
        """Make a call whose answer comes in one."""
        response = await self._post(call, body, stream=False)
        answer.limits = read_limits(response.headers, datetime.now(UTC))
        self._take_whole(answer, response.content)

    async def _follow(
        self,
        call: ChatCall,
        body: dict[str, Any],
        answer: ArrivingAnswer,
        on_piece: Callable[[Piece], Awaitable[None]],
        limit: asyncio.Timeout,
    ) -> None:
        """Make a call whose answer is streamed, and pass it on."""
        sent_at = time.monotonic()
        response = await self._post(call, {**body, "stream": True}, stream=True)
        try:
            answer.begun = True
            answer.limits = read_limits(response.headers, datetime.now(UTC))
            async with aclosing(self._pieces(response, answer, limit)) as pieces:
                async for piece in pieces:
                    if answer.first_token_ms is None:
                        answer.first_token_ms = (time.monotonic() - sent_at) * 1000
                    await on_piece(piece)
        finally:
            await response.aclose()

    async def _pieces(
        self, response: HttpResponse, answer: ArrivingAnswer, limit: asyncio.Timeout
    ) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of the stream's events; errors carry what the provider may bill by then."""
        failure = ProviderError(ErrorKind.CUT, f"{self.name} ended the stream before the answer was complete")
        template, read_events = await self._template.get(), await self._event_reader.get()
        try:
            if response.headers.get("content-type", "").startswith("application/json"):
                # Some compatible servers don't stream.
                for piece in answer.take_whole(await response.aread()):
                    yield piece
                return
            async with aclosing(read_events(response)) as events:
                async for event in events:
                    taken = answer.take(event.data)
                    if answer.ended:
                        _hurry(limit)
                    for piece in taken:
                        yield piece
        except (template.sdk.http.HTTPError, *_STREAM_ERRORS) as error:
            failure = self._stream_failure(error)
        if not answer.is_whole:
            # An error event before any piece is a refusal, and those are free.
            if answer.first_token_ms is not None or failure.kind in {ErrorKind.CUT, ErrorKind.TIMEOUT}:
                failure.usage = answer.billed()
            failure.limits = answer.limits
            raise failure

    async def _post(self, call: ChatCall, body: dict[str, Any], *, stream: bool) -> HttpResponse:
        """Send the call; only a response that says that it was served is returned."""
        template, http = await self._template.get(), await self._http.get()
        request = template.fill(call.call_id, call.timeout_s, body)
        try:
            response = await http.send(request, stream=stream)
            if response.is_success:
                return response
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        # Whatever breaks a trip must not be taken for a call that never left. Without `from None` a traceback would
        # show messages of the libraries, which may quote the prompt.
        except Exception as error:  # noqa: BLE001
            raise transport_error(self.name, error) from None
        raise status_error(self.name, response.status_code, response.headers, content)

    def _stream_failure(self, error: Exception) -> ProviderError:
        match error:
            case EventError():
                return event_error(self.name, error.error)
            case ValidationError():
                return malformed_error(self.name, error)
            case UnicodeDecodeError():
                return malformed_error(self.name, "the stream is not in UTF-8")
        return transport_error(self.name, error)


async def _load_event_reader() -> _ReadEvents:
    """Import the one public decoder of server-sent events among the SDKs'; it takes the response of any of them."""

    def load() -> type:
        from anthropic import AsyncStream  # noqa: PLC0415

        return AsyncStream

    stream_type: Any = await with_imports(load)
    silence(stream_type)
    return cast("_ReadEvents", stream_type.raw_events)


def _hurry(limit: asyncio.Timeout) -> None:
    """Leave a stream that has told all just the time to end, without which its connection can't be used again."""
    soon = asyncio.get_running_loop().time() + _END_S
    limit.reschedule(min(soon, limit.when() or soon))


def _merge(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Lay `extra` over the body; objects such as `output_config` are merged field by field."""
    merged = {**body, **extra}
    for name, value in extra.items():
        if isinstance(value, dict) and isinstance(body.get(name), dict):
            merged[name] = {**body[name], **value}
    return merged
