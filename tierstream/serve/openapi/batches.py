"""Files and batches in the OpenAPI document: their addresses and objects.

Source: https://platform.openai.com/docs/api-reference/files, https://platform.openai.com/docs/api-reference/batch.
"""

from typing import Any, Final

from tierstream.serve.openapi.bodies import Json, nullable, ref
from tierstream.serve.openapi.operations import KEY_HEADER, as_json, operation, refused
from topics.batches import MOST_METADATA

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_ENDPOINTS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
_OF_LIST: Final = (
    {"name": "after", "in": "query", "description": "Behind which id the part begins.", "schema": _TEXT},
    {"name": "limit", "in": "query", "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,4}$"}},
)


def batch_paths() -> Json:
    """Return the addresses of files and batches."""
    file_id, batch_id = _in_path("file_id"), _in_path("batch_id")
    return {
        "/v1/files": {
            "post": operation("Upload the lines of a batch", "File", body=_upload()),
            "get": operation("Files of the key", "FileList", *_OF_LIST),
        },
        "/v1/files/{file_id}": {
            "get": operation("A file", "File", file_id),
            "delete": operation("Show a file no more", "FileDeleted", file_id),
        },
        "/v1/files/{file_id}/content": {
            "get": {
                "summary": "Its lines, or those of a batch's results",
                "parameters": [file_id],
                "responses": {"200": {"description": "JSON Lines", "content": {"application/jsonl": {}}}, **refused()},
            }
        },
        "/v1/batches": {
            "post": operation("Have the lines of a file answered", "Batch", KEY_HEADER, body=as_json(ref("BatchBody"))),
            "get": operation("Batches of the key", "BatchList", *_OF_LIST),
        },
        "/v1/batches/{batch_id}": {"get": operation("A batch as it is now", "Batch", batch_id)},
        "/v1/batches/{batch_id}/cancel": {"post": operation("Send no further line", "Batch", batch_id)},
    }


def batch_schemas() -> Json:
    """Return the objects, by name."""
    moments = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    batch = {
        "id": _TEXT,
        "object": {"const": "batch"},
        "endpoint": _TEXT,
        "input_file_id": _TEXT,
        "completion_window": {"const": "24h"},
        "status": {"enum": list(moments)},
        "output_file_id": nullable(_TEXT),
        "error_file_id": nullable(_TEXT),
        "created_at": _NUMBER,
        "expires_at": _NUMBER,
        **{f"{moment}_at": nullable(_NUMBER) for moment in moments},
        "request_counts": _object(dict.fromkeys(("total", "completed", "failed"), _NUMBER)),
        "metadata": nullable({"type": "object"}),
    }
    file = {
        "id": _TEXT,
        "object": {"const": "file"},
        "bytes": _NUMBER,
        "created_at": _NUMBER,
        "filename": _TEXT,
        "purpose": {"enum": ["batch", "batch_output"]},
    }
    return {
        "BatchBody": _batch_body(),
        "Batch": _object(batch),
        "BatchList": _list("Batch"),
        "File": _object(file),
        "FileList": _list("File"),
        "FileDeleted": _object({"id": _TEXT, "object": {"const": "file"}, "deleted": {"const": True}}),
    }


def _batch_body() -> Json:
    metadata = {"type": "object", "maxProperties": MOST_METADATA, "additionalProperties": {"type": "string"}}
    return {
        "type": "object",
        "required": ["input_file_id", "endpoint", "completion_window"],
        "properties": {
            "input_file_id": _TEXT,
            "endpoint": {"enum": list(_ENDPOINTS)},
            "completion_window": {"const": "24h"},
            "metadata": nullable(metadata),
        },
    }


def _upload() -> Json:
    form = {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"const": "batch"}},
    }
    return {"multipart/form-data": {"schema": form}}


def _list(name: str) -> Json:
    ends = {"first_id": nullable(_TEXT), "last_id": nullable(_TEXT), "has_more": {"type": "boolean"}}
    return _object({"object": {"const": "list"}, "data": {"type": "array", "items": ref(name)}, **ends})


def _object(properties: dict[str, Any]) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}
