"""The results of a batch, written as lines.

Source: https://platform.openai.com/docs/api-reference/batch/request-output
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from tierstream.serve.places import Place
from tierstream.serve.surface import Asked, DoorError, Surface, Target, error_of
from topics.batches import Batch, BatchLine, BatchStatus
from topics.requests import Request
from topics.results import CANCELLED, Result

_UNFINISHED: Final = {
    BatchStatus.EXPIRED: ("batch_expired", "the line was not answered before the batch expired"),
    BatchStatus.CANCELLED: ("batch_cancelled", "the line was not answered before the batch was cancelled"),
}
_GONE: Final = ("result_expired", "the result of the line is no longer kept")


@dataclass(frozen=True, slots=True)
class LineWriter:
    """Writes the lines of one batch.

    Attributes:
        batch: Whose results they are.
        status: How it ended.
        surface: Whose answers they are.
    """

    batch: Batch
    status: BatchStatus
    surface: Surface

    def write(self, number: int, line: BatchLine, result: Result | None, *, had_result: bool) -> bytes:
        """Write a line.

        Args:
            number: Of the line in its batch, from 0.
            line: As it was asked.
            result: What came of it; None where nothing did.
            had_result: Whether something did, though it may no longer be kept.
        """
        is_gone = result is None and had_result
        response, error = (None, _error(_GONE)) if is_gone else self._outcome(number, line, result)
        written = {
            "id": f"batch_req_{self.batch.batch_id.partition('_')[2]}_{number}",
            "custom_id": line.custom_id,
            "response": response,
            "error": error,
        }
        return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _outcome(
        self, number: int, line: BatchLine, result: Result | None
    ) -> tuple[dict[str, Any] | None, dict[str, str] | None]:
        request_id = self.batch.request_id(number)
        if line.request is None or line.refusal is not None:
            return self._refused(request_id, line), None
        if self._was_called_off(result) or result is None:
            return None, _error(_UNFINISHED.get(self.status, _GONE))
        if (failure := error_of(result)) is not None:
            return self._response(request_id, failure.status, self.surface.error(failure, request_id)), None
        answer = self.surface.answer(_asked(line, line.request, result), result)
        return self._response(request_id, 200, answer), None

    def _was_called_off(self, result: Result | None) -> bool:
        is_cancelled = result is not None and result.error is not None and result.error.code == CANCELLED
        return is_cancelled and self.status in _UNFINISHED

    def _refused(self, request_id: str, line: BatchLine) -> dict[str, Any]:
        told = line.refusal
        error = DoorError(400, "invalid_request", "the line is no request")
        if told is not None:
            error = DoorError(told.status, told.code, told.message, param=told.param)
        return self._response(request_id, error.status, self.surface.error(error, request_id))

    def _response(self, request_id: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
        return {"status_code": status, "request_id": request_id, "body": body}


def _error(told: tuple[str, str]) -> dict[str, str]:
    code, message = told
    return {"code": code, "message": message}


def _asked(line: BatchLine, request: Request, result: Result) -> Asked:
    source = result.source
    return Asked(
        request,
        Target(line.model),
        streams=False,
        created_s=source.timestamp_ms // 1000,
        echo=line.echo,
        token=Place(source.partition, source.offset, request.request_id).token(),
    )
