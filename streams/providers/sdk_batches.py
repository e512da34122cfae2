"""Batches through a vendor's SDK: requests, time, errors and results line by line, the same for every vendor.

The SDK writes and sends each request, over the connections that calls have. It repeats what only reads.
"""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Generic, TypeVar
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ValidationError

from streams.providers.base import ChatCall, ChatReply, ProviderError
from streams.providers.batches import LineEnd, ProviderBatches
from streams.providers.failures import malformed_error, status_error, transport_error
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Sdk, encode_body

_log = logging.getLogger(__name__)

_TIME_S: Final = 120.0
"""For a request with all that it sends; of results, for each read."""
_RETRIES: Final = 2
_PAGE: Final = 100
"""Batches that are listed at a time; OpenAI lists no more."""
_CLOCKS_DIFFER: Final = timedelta(minutes=10)
_NOT_IN_BATCHES: Final = frozenset({"service_tier"})
"""A batch is a tier of its own: https://platform.claude.com/docs/en/api/service-tiers."""
_CANT_BE_CANCELLED: Final = frozenset({400, 409})


class Made(BaseModel):
    """What answers a request that makes something, or changes it."""

    id: str


class ListedBatch(Made):
    """A batch in a list."""

    created_at: AwareDatetime


_Form = TypeVar("_Form", bound=BaseModel)
_Listed = TypeVar("_Listed", bound=ListedBatch)


class Page(BaseModel, Generic[_Listed]):
    """A part of the list of batches, the newest first."""

    data: list[_Listed]
    has_more: bool = False


class SdkBatches(ProviderBatches, ABC):
    """The batches of a provider, as `ProviderBatches` has them; a subclass knows the wire format."""

    path: ClassVar[str]
    """Of the batches, below the base URL."""
    cursor: ClassVar[str]
    """The parameter that says after which batch a list goes on."""

    def __init__(self, provider: SdkProvider) -> None:
        self._provider = provider
        self._name = provider.name

    @abstractmethod
    def form_line(self, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Form a line of a batch around the body of a call."""

    @abstractmethod
    def read_line(self, line: Any) -> LineEnd | None:  # noqa: ANN401 - whatever the line has there
        """Read a line of the results; None where it is not in the wire format."""

    async def write_line(self, custom_id: str, call: ChatCall) -> bytes:
        """See `ProviderBatches.write_line`."""
        await self._provider.prepare()
        body = self._provider.write_body(call, streamed=False)
        settled = {name: value for name, value in body.items() if name not in _NOT_IN_BATCHES}
        return encode_body(self.form_line(custom_id, settled)).encode()

    async def cancel(self, batch_id: str) -> None:
        """See `ProviderBatches.cancel`."""
        try:
            await self._post(f"{self._path_of(batch_id)}/cancel", Made)
        except ProviderError as error:
            if error.status not in _CANT_BE_CANCELLED:
                raise

    def read(self, call: ChatCall, body: bytes) -> ChatReply:
        """See `ProviderBatches.read`."""
        return self._provider.read_whole(call, body)

    def _path_of(self, batch_id: str) -> str:
        return f"{self.path}/{quote(batch_id, safe='')}"

    async def _get(self, path: str, form: type[_Form], **params: object) -> _Form:
        return await self._ask(
            form, lambda client: client.get(path, cast_to=bytes, options={"params": params}), max_retries=_RETRIES
        )

    async def _post(
        self, path: str, form: type[_Form], content_type: str = "application/json", **sent: object
    ) -> _Form:
        options = {"headers": {"Content-Type": content_type}}
        return await self._ask(
            form, lambda client: client.post(path, cast_to=bytes, options=options, **sent), max_retries=0
        )

    async def _ask(self, form: type[_Form], send: Callable[[Any], Awaitable[bytes]], *, max_retries: int) -> _Form:
        sdk, client = await self._provider.open_client(timeout_s=_TIME_S, max_retries=max_retries)
        try:
            async with asyncio.timeout(_TIME_S):
                content = await send(client)
        # As of a call: whatever breaks the trip, and no message that may quote what was sent.
        except Exception as error:  # noqa: BLE001
            raise self._failure(sdk, error) from None
        try:
            return form.model_validate_json(content)
        except ValidationError as error:
            raise malformed_error(self._name, error) from None

    async def _made_since(self, moment: datetime, page_form: type[Page[_Listed]]) -> AsyncGenerator[_Listed, None]:
        """Yield the batches that were made since a moment, or shortly before: the vendor's clock is not ours."""
        earliest = moment - _CLOCKS_DIFFER
        after: dict[str, str] = {}
        while True:
            page = await self._get(self.path, page_form, limit=_PAGE, **after)
            for batch in page.data:
                if batch.created_at >= earliest:
                    yield batch
            if not page.has_more or not page.data or page.data[-1].created_at < earliest:
                return
            after = {self.cursor: page.data[-1].id}

    async def _read_lines(
        self, open_results: Callable[[Any], AbstractAsyncContextManager[Any]]
    ) -> AsyncGenerator[LineEnd, None]:
        """Yield the ends of calls that are in a file of results.

        Args:
            open_results: Has the SDK's client ask for the file; its response is read as it comes.
        """
        passed_over = 0
        async with aclosing(self._lines(open_results)) as lines:
            async for line in lines:
                end = self.read_line(_parsed(line))
                if end is not None:
                    yield end
                else:
                    passed_over += 1
        if passed_over:
            _log.warning("%s: %d lines of a batch's results are not in the protocol's form", self._name, passed_over)

    async def _lines(
        self, open_results: Callable[[Any], AbstractAsyncContextManager[Any]]
    ) -> AsyncGenerator[bytes, None]:
        sdk, client = await self._provider.open_client(timeout_s=_TIME_S, max_retries=_RETRIES)
        try:
            async with open_results(client) as response:
                # The SDK's own lines end at every character that Unicode breaks lines at, also within JSON.
                begun = b""
                async for chunk in response.iter_bytes():
                    *whole, begun = (begun + chunk).split(b"\n")
                    for line in whole:
                        if line:
                            yield line
                if begun:
                    yield begun
        except Exception as error:  # noqa: BLE001 - as in `_ask`
            raise self._failure(sdk, error) from None

    def _failure(self, sdk: Sdk, error: Exception) -> ProviderError:
        if isinstance(error, sdk.status_error_type):
            response = error.response
            return status_error(self._name, response.status_code, response.headers, response.content)
        return transport_error(self._name, error)


def encoded(value: object) -> bytes:
    """Encode what was read of a line, whatever it was."""
    return json.dumps(value).encode()


def _parsed(line: bytes) -> Any:  # noqa: ANN401 - whatever it holds
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
