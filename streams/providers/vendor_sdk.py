"""What a vendor's SDK writes and sends: loaded once a process, and asked once for the request of all calls.

From call to call three things of a request differ: its body, the call's id and its time. All else (URL, key, version,
platform, the order of headers) is the same for a client as long as it lives, and the SDKs work it out anew each time,
which is half of what their `post` costs. So `post` is asked once, over a transport that sends nothing, and what it
would have sent is the template of every call. The SDK's HTTP client sends it: connections, TLS, proxies, redirects and
the names of broken connections stay the SDK's.
"""

import asyncio
import gc
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

CALL_ID_HEADER: Final = "X-Client-Request-Id"

_importing: Final = threading.Lock()
"""Held while an SDK is imported, and while its clients are made: they look at packages which they share, and which
another thread may have half imported."""
_SOME_ID: Final = UUID(int=0x5EED << 112)
_SOME_SECONDS: Final = 86_399.5
"""Stands for the time of a call in the template's headers, where nothing else has this value."""
encode_body: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Writes a body as the SDKs do, to the byte."""


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


class HttpRequest(Protocol):
    """What requests of httpx and httpx2 have in common."""

    @property
    def method(self) -> str:
        """HTTP method."""

    @property
    def url(self) -> object:
        """An URL of the library's own type."""

    @property
    def headers(self) -> Any:  # noqa: ANN401 - of each library's own
        """Headers; `raw` lists them as they are sent."""

    def read(self) -> bytes:
        """Have the whole body at hand, and return it."""


class HttpResponse(Protocol):
    """What their responses have in common."""

    @property
    def status_code(self) -> int:
        """HTTP status."""

    @property
    def is_success(self) -> bool:
        """Whether the status says that the request was served."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, looked up whatever their case."""

    @property
    def content(self) -> bytes:
        """The body, once it is read."""

    async def aread(self) -> bytes:
        """Read the whole body."""

    async def aclose(self) -> None:
        """Let go of the connection; if the body was not read to its end, the connection is closed."""


class HttpClient(Protocol):
    """What their clients have in common."""

    async def send(self, request: Any, *, stream: bool) -> HttpResponse:  # noqa: ANN401 - of its own library
        """Send a request; of a streamed response the body is left to be read."""

    async def aclose(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """A vendor's SDK, imported.

    Attributes:
        client_type: Its asynchronous client.
        http_client_type: Its HTTP client on aiohttp.
        http: The library that both are built on, httpx or httpx2.
        status_error_type: Its exception for a response with an error status.
    """

    client_type: type[Any]
    http_client_type: type[Any]
    http: ModuleType
    status_error_type: type[Any]

    def open_client(self, connection: Connection, base_url: str, http_client: object, **options: float) -> Any:  # noqa: ANN401
        """Open its client on an HTTP client; `options` are those of the SDK."""
        return self.client_type(api_key=connection.api_key, base_url=base_url, http_client=http_client, **options)

    def open_http_client(self, *, use_proxy: bool) -> HttpClient:
        """Open its HTTP client, in 20 ms: it reads all certificates of the machine, once more for each proxy."""
        jarless = type("JarlessClient", (self.http_client_type,), {"cookies": property(lambda _: _NO_COOKIES)})
        # Slots decide how many calls there are: above a limit of the SDK's own (Groq's is 100), they would wait here
        # unseen, while their time runs. 0 is aiohttp's word for none.
        client: HttpClient = jarless(trust_env=use_proxy, limits=self.http.Limits(max_connections=0))
        return client


class _NoCookies(dict[str, str]):
    """In the place of the client's cookies: aiohttp keeps them below it.

    httpx takes 70 us after each response to find that there are none: it writes a request of urllib for it.
    """

    def extract_cookies(self, response: object) -> None:
        """Leave cookies to aiohttp."""


_NO_COOKIES: Final = _NoCookies()


_Made = TypeVar("_Made")


class Once(Generic[_Made]):
    """What is made when it is first asked for, once for all who ask meanwhile.

    Attributes:
        made: None until it is made.
    """

    def __init__(self, make: Callable[[], Awaitable[_Made]]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self.made: _Made | None = None

    async def get(self) -> _Made:
        """Return it, made if need be."""
        if self.made is not None:
            return self.made
        async with self._making:
            if self.made is None:
                self.made = await self._make()
        return self.made


async def with_imports(make: Callable[[], _Made]) -> _Made:
    """Do in a thread what imports packages or looks at those that others import; the event loop goes on."""

    def locked() -> _Made:
        with _importing:
            made = make()
        # An SDK is up to a hundred thousand objects that stay; each look through them for garbage stops all threads.
        gc.freeze()
        return made

    return await asyncio.to_thread(locked)


def silence(of_sdk: type) -> None:
    """Keep an SDK from logging prompts: at DEBUG, which the environment can set when it is imported, it would."""
    logging.getLogger(of_sdk.__module__.partition(".")[0]).setLevel(logging.INFO)


class RequestTemplate:
    """The request that an SDK's `post` would send, for any body, call and time.

    Args:
        sdk: That wrote it.
        written: Its request for a call of `_SOME_ID` and `_SOME_SECONDS`.

    Attributes:
        sdk: That wrote it.
    """

    def __init__(self, sdk: Sdk, written: HttpRequest) -> None:
        self.sdk = sdk
        self._method = written.method
        self._url = written.url
        self._headers: list[tuple[bytes, bytes]] = [
            (name, value) for name, value in written.headers.raw if name.lower() != b"content-length"
        ]
        values = [value for _, value in self._headers]
        self._id_at = values.index(str(_SOME_ID).encode())
        self._seconds_at = [i for i, value in enumerate(values) if value == str(_SOME_SECONDS).encode()]

    @classmethod
    async def written_by(cls, sdk: Sdk, connection: Connection, base_url: str, path: str) -> "RequestTemplate":
        """Have an SDK write the request; nothing is sent.

        Args:
            sdk: Imported.
            connection: Has the key.
            base_url: Root of the API.
            path: Of the endpoint, below it.
        """
        written: list[HttpRequest] = []

        def keep(request: HttpRequest) -> object:
            written.append(request)
            return sdk.http.Response(200)

        # Proxies of the environment would take the place of this transport.
        nowhere = sdk.http_client_type(transport=sdk.http.MockTransport(keep), trust_env=False)
        client = sdk.open_client(connection, base_url, nowhere, max_retries=0)
        options = {"timeout": _SOME_SECONDS, "headers": {CALL_ID_HEADER: str(_SOME_ID)}}
        await client.post(path, cast_to=sdk.http.Response, body={}, options=options)
        await client.close()
        return cls(sdk, written[0])

    def fill(self, call_id: UUID, timeout_s: float, body: dict[str, Any]) -> HttpRequest:
        """Return the request of one call; `timeout_s` is told to the provider, and holds for each read."""
        content = encode_body(body).encode()
        headers = [*self._headers, (b"Content-Length", b"%d" % len(content))]
        headers[self._id_at] = (headers[self._id_at][0], str(call_id).encode())
        for i in self._seconds_at:
            headers[i] = (headers[i][0], str(timeout_s).encode())
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
        http = self.sdk.http
        # Given as a stream the body adds no headers, which would be looked for among those that are there.
        request: HttpRequest = http.Request(
            self._method,
            self._url,
            headers=headers,
            stream=http.ByteStream(content),
            extensions={"timeout": timeout},
        )
        # The client sends what is read with its length, and anything else in chunks.
        request.read()
        return request
