"""Batches of OpenAI and Groq: lines in a file that is uploaded first, answers and errors in two files.

Sources: https://platform.openai.com/docs/guides/batch, https://platform.openai.com/docs/api-reference/batch and
https://console.groq.com/docs/batch.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from streams.providers.base import ProviderError
from streams.providers.batches import BatchProgress, LineEnd, NotSubmittedError
from streams.providers.failures import line_error, named, status_error
from streams.providers.sdk_batches import ListedBatch, Made, Page, SdkBatches, encoded

_ENDPOINT: Final = "/v1/chat/completions"
_NAME: Final = "tierstream"
"""The entry of a batch's metadata that it is found by."""
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_OK: Final = 200


class _Errors(BaseModel):
    data: list[dict[str, Any]] | None = None


class _Batch(ListedBatch):
    status: str
    input_file_id: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Errors | None = None
    metadata: dict[str, Any] | None = None


class _File(Made):
    filename: str | None = None


class OpenAIBatches(SdkBatches):
    """OpenAI's batches. A batch is found by its metadata."""

    path: ClassVar = "/batches"
    files_path: ClassVar = "/files"
    cursor: ClassVar = "after"

    def form_line(self, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Form a request of the input file."""
        return {"custom_id": custom_id, "method": "POST", "url": _ENDPOINT, "body": body}

    async def submit(self, name: str, lines: Sequence[bytes], may_leave: Callable[[], Awaitable[None]]) -> str:
        """Upload the lines, and make the batch; see `ProviderBatches.submit`."""
        upload = {"file": (_file_name(name), b"\n".join(lines))}
        try:
            file = await self._post(
                self.files_path, Made, "multipart/form-data", body={"purpose": "batch"}, files=upload
            )
        except ProviderError as error:
            raise NotSubmittedError.because_of(error) from None
        await may_leave()
        asked = {
            "input_file_id": file.id,
            "endpoint": _ENDPOINT,
            "completion_window": "24h",
            "metadata": {_NAME: name},
        }
        return (await self._post(self.path, Made, body=asked)).id

    async def find(self, name: str, custom_ids: Sequence[str], since: datetime) -> str | None:  # noqa: ARG002 - told by its name
        """See `ProviderBatches.find`."""
        async with aclosing(self._made_since(since, Page[_Batch])) as batches:
            async for batch in batches:
                if await self._is_named(batch, name):
                    return batch.id
        return None

    async def progress(self, batch_id: str) -> BatchProgress:
        """See `ProviderBatches.progress`."""
        batch = await self._get(self._path_of(batch_id), _Batch)
        refusal = None
        if batch.status == "failed":
            refusal = named((batch.errors and batch.errors.data) or ()) or "no reason given"
        return BatchProgress(batch.status in _ENDED, refusal)

    async def line_ends(self, batch_id: str) -> AsyncGenerator[LineEnd, None]:
        """See `ProviderBatches.line_ends`."""
        batch = await self._get(self._path_of(batch_id), _Batch)
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            async with aclosing(self._read_file(file_id)) as ends:
                async for end in ends:
                    yield end

    def read_line(self, line: Any) -> LineEnd | None:  # noqa: ANN401 - whatever the line has there
        """Read a line of the output file or of the error file."""
        match line:
            case {"custom_id": str(custom_id), "response": {"status_code": 200, "body": dict(body)}}:
                return LineEnd(custom_id, encoded(body))
            case {"custom_id": str(custom_id), "response": {"status_code": int(status), "body": body}} if status != _OK:
                return LineEnd(custom_id, None, status_error(self._name, status, {}, encoded(body)))
            case {"custom_id": str(custom_id), "error": dict(error)}:
                return LineEnd(custom_id, None, line_error(self._name, error))
        return None

    def _read_file(self, file_id: str) -> AsyncGenerator[LineEnd, None]:
        return self._read_lines(lambda client: client.files.with_streaming_response.content(file_id))

    async def _is_named(self, batch: _Batch, name: str) -> bool:
        """Whether a batch was submitted under a name; where it has no metadata, the name of its file tells."""
        if batch.metadata:
            return batch.metadata.get(_NAME) == name
        file = await self._get(f"{self.files_path}/{batch.input_file_id}", _File)
        return file.filename == _file_name(name)


class GroqBatches(OpenAIBatches):
    """Groq's batches."""

    path: ClassVar = "/openai/v1/batches"
    files_path: ClassVar = "/openai/v1/files"


def _file_name(name: str) -> str:
    return f"{name}.jsonl"
