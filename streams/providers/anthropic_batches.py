"""Batches of Anthropic's messages: all of them in one request, and how each came out in one stream of lines.

Sources: https://platform.claude.com/docs/en/build-with-claude/batch-processing and
https://platform.claude.com/docs/en/api/messages/batches/create.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from streams.providers.batches import BatchProgress, LineEnd, UndecidedError
from streams.providers.failures import line_error
from streams.providers.sdk_batches import ListedBatch, Made, Page, SdkBatches, encoded

_ENDED: Final = "ended"
_NOT_REACHED: Final = {"canceled": "batch_cancelled", "expired": "batch_expired"}
"""What becomes of a call that had no turn, in the words of the other vendors' errors."""


class _Counts(BaseModel):
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int

    @property
    def all(self) -> int:
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class _Batch(ListedBatch):
    processing_status: str
    request_counts: _Counts


class AnthropicBatches(SdkBatches):
    """Anthropic's batches. A batch has no name, and is found by the ids of its calls, which are in its results."""

    path: ClassVar = "/v1/messages/batches"
    cursor: ClassVar = "after_id"

    def form_line(self, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Form one of the requests."""
        return {"custom_id": custom_id, "params": body}

    async def submit(
        self,
        name: str,  # noqa: ARG002 - there is no room for it
        lines: Sequence[bytes],
        may_leave: Callable[[], Awaitable[None]],
    ) -> str:
        """Make the batch; see `ProviderBatches.submit`."""
        await may_leave()
        return (await self._post(self.path, Made, content=b'{"requests":[%b]}' % b",".join(lines))).id

    async def find(self, name: str, custom_ids: Sequence[str], since: datetime) -> str | None:  # noqa: ARG002 - as above
        """See `ProviderBatches.find`."""
        ours = frozenset(custom_ids)
        is_one_open = False
        async with aclosing(self._made_since(since, Page[_Batch])) as batches:
            async for batch in batches:
                if batch.request_counts.all > len(ours):
                    continue
                if batch.processing_status != _ENDED:
                    is_one_open = True
                elif await self._is_of(batch.id, ours):
                    return batch.id
        if is_one_open:
            raise UndecidedError(f"{self._name} has batches of up to {len(ours)} calls that have not ended")
        return None

    async def progress(self, batch_id: str) -> BatchProgress:
        """See `ProviderBatches.progress`; calls are checked one by one, so that none is refused as a whole."""
        batch = await self._get(self._path_of(batch_id), _Batch)
        return BatchProgress(batch.processing_status == _ENDED)

    def line_ends(self, batch_id: str) -> AsyncGenerator[LineEnd, None]:
        """See `ProviderBatches.line_ends`."""
        return self._read_lines(lambda client: client.messages.batches.with_streaming_response.results(batch_id))

    def read_line(self, line: Any) -> LineEnd | None:  # noqa: ANN401 - whatever the line has there
        """Read a line of the results."""
        match line:
            case {"custom_id": str(custom_id), "result": {"type": "succeeded", "message": dict(message)}}:
                return LineEnd(custom_id, encoded(message))
            case {"custom_id": str(custom_id), "result": {"type": "errored", "error": {"error": error}}}:
                return LineEnd(custom_id, None, line_error(self._name, error))
            case {"custom_id": str(custom_id), "result": {"type": "canceled" | "expired" as end}}:
                return LineEnd(custom_id, None, line_error(self._name, {"code": _NOT_REACHED[end]}))
        return None

    async def _is_of(self, batch_id: str, ours: Collection[str]) -> bool:
        """Whether a batch that has ended is of these calls, whose ids no other one has."""
        async with aclosing(self.line_ends(batch_id)) as ends:
            async for end in ends:
                return end.custom_id in ours
        return False
