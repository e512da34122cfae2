"""The lines of a batch in the file formats of OpenAI and Groq: calls in, results out.

Source: https://platform.openai.com/docs/api-reference/batch/request-input and request-output.
"""

import json
import uuid
from collections.abc import Container, Mapping
from typing import Any, Final

from tierstream.simulator.batch import BatchCall, CallResult
from tierstream.simulator.chat import ApiError

ENDPOINT: Final = "/v1/chat/completions"
_MOST_LINES: Final = 50_000
_NEVER_MADE: Final = {
    "expired": "This request could not be executed before the completion window expired.",
    "cancelled": "This request was not executed because the batch was cancelled.",
}


class _LineError(ApiError):
    """What is wrong with a line; it fails the whole batch."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(400, message, code=code, param=param)


def problem(code: str, message: str, *, line: int | None = None, param: str | None = None) -> dict[str, object]:
    """Why a batch fails in its validation, as its `errors` have it; lines are counted from 1."""
    return {"code": code, "line": line, "message": message, "param": param}


def read_calls(
    content: bytes, models: Container[str], *, one_model: bool
) -> tuple[list[BatchCall], list[dict[str, object]]]:
    """The calls of an input file, and what is wrong with it.

    Args:
        content: Of the file.
        models: That the provider serves.
        one_model: Whether all lines have to be of one model.
    """
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    if not lines:
        return [], [problem("empty_file", "The file is empty.")]
    if len(lines) > _MOST_LINES:
        return [], [problem("too_many_tasks", f"The file has {len(lines)} lines; the limit is {_MOST_LINES}.")]
    calls: dict[str, BatchCall] = {}
    problems = []
    for number, line in lines:
        try:
            call = _read_call(line, models)
            _fit(call, calls, one_model=one_model)
        except _LineError as error:
            problems.append(problem(str(error.code), error.message, line=number, param=error.param))
        else:
            calls[call.custom_id] = call
    return list(calls.values()), problems


def _fit(call: BatchCall, before: Mapping[str, BatchCall], *, one_model: bool) -> None:
    """Raise what is wrong with a call next to those before it."""
    if call.custom_id in before:
        raise _LineError("duplicate_custom_id", "This custom_id occurs more than once.", "custom_id")
    first = next(iter(before.values()), call)
    if one_model and call.body["model"] != first.body["model"]:
        raise _LineError("model_mismatch", "All requests of a batch have to be of one model.", "body.model")


def _read_call(line: bytes, models: Container[str]) -> BatchCall:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise _LineError("invalid_json_line", "This line is not parseable as valid JSON.")
    custom_id, body = parsed.get("custom_id"), parsed.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        raise _LineError("missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id")
    if parsed.get("method") != "POST":
        raise _LineError("invalid_method", "The method of a request has to be 'POST'.", "method")
    if parsed.get("url") != ENDPOINT:
        raise _LineError("url_mismatch", "The URL does not match the endpoint of the batch.", "url")
    if not isinstance(body, Mapping):
        raise _LineError("missing_required_parameter", "Missing required parameter: 'body'.", "body")
    model = body.get("model")
    if not isinstance(model, str) or model not in models:
        raise _LineError("model_not_found", "The provided model is not supported by the Batch API.", "body.model")
    return BatchCall(custom_id, body)


def result_line(result: CallResult) -> dict[str, Any]:
    """What came of a call: the response that it would have alone, or why there is none."""
    line = {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": result.custom_id, "response": None, "error": None}
    if isinstance(result.status, str):
        return {**line, "error": {"code": f"batch_{result.status}", "message": _NEVER_MADE[result.status]}}
    body = json.loads(result.body)
    return {**line, "response": {"status_code": result.status, "request_id": f"req_{uuid.uuid4().hex}", "body": body}}
