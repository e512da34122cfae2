"""A provider on top of its vendor's SDK: connections, limits, time and errors, the same for every SDK.

The SDKs' typed methods spend most of their CPU on checking parameters and building response objects. Their
documented `client.post` does without: authentication, headers, transport and errors stay theirs, the bodies
are ours. Measured over loopback, CPU a call: OpenAI 0.7 ms instead of 1.3, Groq 0.7 instead of 1.0, Anthropic
0.6 instead of 0.7 (each instead of `with_raw_response`). Streams take a third of the CPU of the typed streams of
OpenAI and Groq, and two thirds of Anthropic's.

Importing an SDK takes longer than all else that a worker starts with, and most workers need some of them late or never.
So each is imported when it is first needed, in a thread: the event loop goes on meanwhile.
"""

import asyncio
import gc
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

import aiohttp
from pydantic import ValidationError

from streams.providers.base import ChatCall, ChatReply, ErrorKind, ProviderError
from streams.providers.failures import event_error, status_error, transport_error
from streams.providers.limits import read_limits
from streams.providers.streamed import EventError, StreamedAnswer

CALL_ID_HEADER: Final = "X-Client-Request-Id"

_END_S: Final = 0.1

_TRANSPORT_ERRORS: Final[tuple[type[Exception], ...]] = (aiohttp.ClientError,)
"""What comes through the SDKs from below."""
_STREAM_ERRORS: Final[tuple[type[Exception], ...]] = (
    *_TRANSPORT_ERRORS,
    EventError,
    ValidationError,
    UnicodeDecodeError,
)

_importing: Final = threading.Lock()
"""Held while an SDK is imported: they share packages, and two threads could meet in one that is half imported."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How a provider is reached.

    Attributes:
        name: The provider's name in the settings.
        api_key: Its key; never shown.
        base_url: Root of its API; None for the vendor's own.
        use_proxy: Whether the proxies of the environment apply.
    """

    name: str
    api_key: str = field(repr=False)
    base_url: str | None
    use_proxy: bool


class HttpResponse(Protocol):
    """What all SDKs' HTTP responses have in common."""

    @property
    def status_code(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, looked up whatever their case."""

    @property
    def content(self) -> bytes:
        """The body."""


class StreamedHttpResponse(HttpResponse, Protocol):
    """What they have in common while their body is still to be read."""

    async def aread(self) -> bytes:
        """Read the whole body."""

    async def aclose(self) -> None:
        """Let go of the connection; if the body was not read to its end, the connection is closed."""


class SdkClient(Protocol):
    """What all SDKs' asynchronous clients have in common."""

    async def post(self, path: str, *, cast_to: Any, body: Any, options: Any, stream: bool) -> Any:  # noqa: ANN401 - of each SDK's own
        """Send a JSON body; of a streamed response the body is left to be read."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """A vendor's SDK, imported.

    Attributes:
        open_client: Makes its client, on aiohttp and without retries.
        response_type: The raw HTTP response of its HTTP client.
        status_error_type: What it raises for an error status; has the response as an attribute.
        error_types: The roots of all that it and its HTTP client raise.
    """

    open_client: Callable[[Connection], SdkClient]
    response_type: type
    status_error_type: type[Exception]
    error_types: tuple[type[Exception], ...]


class _ServerSentEvent(Protocol):
    @property
    def data(self) -> str: ...


_ReadEvents = Callable[[StreamedHttpResponse], AsyncGenerator[_ServerSentEvent, None]]


_Loaded = TypeVar("_Loaded")


class _Import(Generic[_Loaded]):
    """What is imported in a thread when it is first asked for."""

    def __init__(self, load: Callable[[], _Loaded]) -> None:
        self._load = load
        self._loaded: _Loaded | None = None
        self._loading = asyncio.Lock()

    async def get(self) -> _Loaded:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(self._import)
        return self._loaded

    def _import(self) -> _Loaded:
        with _importing:
            loaded = self._load()
        # An SDK is up to a hundred thousand objects that stay; each look through them for garbage stops all threads.
        gc.freeze()
        return loaded


class SdkProvider(ABC):
    """Makes calls through a vendor's SDK; a subclass knows the SDK and the wire format."""

    simulated_path: ClassVar[str] = ""
    """What the base URL of a simulated provider ends with."""
    path: ClassVar[str]
    """Of the chat endpoint, below the base URL."""
    streamed_answer: ClassVar[type[StreamedAnswer]]
    """Reads the events of the wire format."""
    stream_fields: ClassVar[dict[str, Any]] = {}
    """What a request for a stream has besides `stream`; a call's `extra` wins over it."""

    def __init__(self, connection: Connection) -> None:
        self.name = connection.name
        self._connection = connection
        self._sdk = _Import(self._load_silent_sdk)
        self._event_reader = _Import(_load_event_reader)
        self._client: SdkClient | None = None

    @abstractmethod
    def load_sdk(self) -> Sdk:
        """Import the SDK; called in a thread."""

    @abstractmethod
    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write the call in the wire format, without the call's `extra`.

        Raises:
            ProviderError: The wire format can't express the call.
        """

    @abstractmethod
    def read_reply(self, content: bytes, call: ChatCall) -> ChatReply:
        """Read a response body.

        Raises:
            pydantic.ValidationError: It is not in the wire format.
        """

    async def prepare(self) -> None:
        """Import the SDK, unless it is; see `Provider.prepare`."""
        await self._sdk.get()

    async def complete(self, call: ChatCall) -> ChatReply:
        """Make the call; see `Provider.complete`."""
        await self.prepare()
        body = _merge({**self.request_body(call), **(self.stream_fields if call.on_text else {})}, call.model.extra)
        answer = None
        if call.on_text is not None:
            await self._event_reader.get()
            answer = self.streamed_answer(call)
        reply = await self._make(call, body, answer)
        if not reply.content.strip():
            blocked = reply.finish_reason == "content_filter"
            raise ProviderError(
                ErrorKind.CONTENT_POLICY if blocked else ErrorKind.EMPTY,
                f"{self.name} answered without text (finish reason {reply.finish_reason})",
                usage=reply.usage,
                limits=reply.limits,
            )
        return reply

    async def close(self) -> None:
        """Close the connections; a later call would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _load_silent_sdk(self) -> Sdk:
        sdk = self.load_sdk()
        _silence(sdk.status_error_type)
        return sdk

    async def _make(self, call: ChatCall, body: dict[str, Any], answer: StreamedAnswer | None) -> ChatReply:
        """Make the call within its time."""
        await call.may_leave()
        try:
            # The SDK's own timeout is for each read: a slow trickle would never end.
            async with asyncio.timeout(call.timeout_s) as limit:
                if answer is None or call.on_text is None:
                    return await self._ask(call, body)
                await self._follow(call, body, answer, call.on_text, limit)
        except TimeoutError:
            if not limit.expired():
                raise
            if answer is None or not answer.ended:
                message = f"{self.name} did not answer in {call.timeout_s:g} s"
                usage = answer.billed() if answer is not None and answer.begun else None
                raise ProviderError(ErrorKind.TIMEOUT, message, usage=usage) from None
        return answer.reply()

    async def _ask(self, call: ChatCall, body: dict[str, Any]) -> ChatReply:
        """Make a call whose answer comes in one."""
        response: HttpResponse = await self._post(call, body, stream=False)
        try:
            reply = self.read_reply(response.content, call)
        except ValidationError as error:
            raise self._malformed(_describe(error)) from None
        return replace(reply, limits=read_limits(response.headers, datetime.now(UTC)))

    async def _follow(
        self,
        call: ChatCall,
        body: dict[str, Any],
        answer: StreamedAnswer,
        on_text: Callable[[str], Awaitable[None]],
        limit: asyncio.Timeout,
    ) -> None:
        """Make a call whose answer is streamed, and pass its text on."""
        sent_at = time.monotonic()
        response: StreamedHttpResponse = await self._post(call, {**body, "stream": True}, stream=True)
        try:
            answer.begun = True
            answer.limits = read_limits(response.headers, datetime.now(UTC))
            async with aclosing(self._pieces(call, response, answer, limit)) as pieces:
                async for piece in pieces:
                    if answer.first_token_ms is None:
                        answer.first_token_ms = (time.monotonic() - sent_at) * 1000
                    await on_text(piece)
        finally:
            await response.aclose()

    async def _pieces(
        self, call: ChatCall, response: StreamedHttpResponse, answer: StreamedAnswer, limit: asyncio.Timeout
    ) -> AsyncGenerator[str, None]:
        """Yield the text of the stream's events; errors carry what the provider may bill by then."""
        failure = ProviderError(ErrorKind.CUT, f"{self.name} ended the stream before the answer was complete")
        sdk, read_events = await self._sdk.get(), await self._event_reader.get()
        try:
            if response.headers.get("content-type", "").startswith("application/json"):
                # Some compatible servers don't stream.
                if whole := answer.take_whole(self.read_reply(await response.aread(), call)):
                    yield whole
                return
            async with aclosing(read_events(response)) as events:
                async for event in events:
                    piece = answer.take(event.data)
                    if answer.ended:
                        _hurry(limit)
                    if piece:
                        yield piece
        except (*sdk.error_types, *_STREAM_ERRORS) as error:
            failure = self._stream_failure(error)
        if not answer.is_whole:
            # An error event before any text is a refusal, and those are free.
            if answer.first_token_ms is not None or failure.kind in {ErrorKind.CUT, ErrorKind.TIMEOUT}:
                failure.usage = answer.billed()
            failure.limits = answer.limits
            raise failure

    async def _post(self, call: ChatCall, body: dict[str, Any], *, stream: bool) -> Any:  # noqa: ANN401 - of each SDK's own
        sdk = await self._sdk.get()
        if self._client is None:
            self._client = sdk.open_client(self._connection)
        options = {"timeout": call.timeout_s, "headers": {CALL_ID_HEADER: str(call.call_id)}}
        try:
            return await self._client.post(
                self.path, cast_to=sdk.response_type, body=body, options=options, stream=stream
            )
        # Without `from None` a traceback would show the SDK's message, which may quote the prompt.
        except sdk.status_error_type as error:
            answer: HttpResponse = getattr(error, "response")  # noqa: B009 - the attribute is each SDK's own
            raise status_error(self.name, answer.status_code, answer.headers, answer.content) from None
        except (*sdk.error_types, *_TRANSPORT_ERRORS) as error:
            raise transport_error(self.name, error) from None

    def _stream_failure(self, error: Exception) -> ProviderError:
        match error:
            case EventError():
                return event_error(self.name, error.error)
            case ValidationError():
                return self._malformed(_describe(error))
            case UnicodeDecodeError():
                return self._malformed("the stream is not in UTF-8")
        return transport_error(self.name, error)

    def _malformed(self, detail: str) -> ProviderError:
        message = f"{self.name} sent a response that is not in the protocol's form: {detail}"
        return ProviderError(ErrorKind.MALFORMED, message)


def _load_event_reader() -> _ReadEvents:
    """Import the one public decoder of server-sent events among the SDKs'; it takes the response of any of them."""
    from anthropic import AsyncStream  # noqa: PLC0415

    _silence(AsyncStream)
    return cast("_ReadEvents", AsyncStream.raw_events)


def _silence(of_sdk: type) -> None:
    """Keep an SDK from logging prompts: at DEBUG, which the environment can set when it is imported, it would."""
    logging.getLogger(of_sdk.__module__.partition(".")[0]).setLevel(logging.INFO)


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


def _describe(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
