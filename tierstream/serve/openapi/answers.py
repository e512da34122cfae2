"""What the door answers, as JSON Schema: what each vendor's object always has, and the object `tierstream`."""

from typing import Any, Final

from tierstream.serve.openapi.bodies import Json, nullable, ref
from topics.results import ResultStatus

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_OBJECT: Final = {"type": "object"}


def _object(properties: dict[str, Any], **more: object) -> Json:
    """Describe an object that always has these properties."""
    return {"type": "object", "required": list(properties), "properties": properties, **more}


def _several(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def _only(value: str | int) -> Json:
    return {"const": value}


def answer_schemas() -> dict[str, Json]:
    """Return the answers, the lists and the errors, by name."""
    return {
        "Routing": _routing(),
        "ChatCompletion": _chat_completion(),
        "AnthropicMessage": _anthropic_message(),
        "Response": _response(),
        "TokenCount": _object({"input_tokens": _NUMBER}),
        **_models(),
        **_errors(),
    }


def _routing() -> Json:
    return _object(
        {
            "request_id": _TEXT,
            "status": {"enum": [status.value for status in ResultStatus]},
            "reason": nullable(_TEXT),
            "tier": nullable({"type": "integer"}),
            "provider": nullable(_TEXT),
            "model": nullable(_TEXT),
            "cost_usd": {"type": "string", "description": "US dollars, as a decimal number."},
            "attempts": _NUMBER,
        },
        description="What tierstream has to say of the answer.",
    )


def _chat_completion() -> Json:
    message = _object({"role": _only("assistant"), "content": nullable(_TEXT), "refusal": {"type": "null"}})
    reasons = {"enum": ["stop", "length", "content_filter", "tool_calls"]}
    choice = _object({"index": _only(0), "message": message, "finish_reason": reasons})
    usage = _object(dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _NUMBER))
    return _object(
        {
            "id": _TEXT,
            "object": _only("chat.completion"),
            "created": _NUMBER,
            "model": _TEXT,
            "choices": _several(choice),
            "usage": usage,
            "tierstream": ref("Routing"),
        }
    )


def _anthropic_message() -> Json:
    return _object(
        {
            "id": _TEXT,
            "type": _only("message"),
            "role": _only("assistant"),
            "model": _TEXT,
            "content": _several(_object({"type": _TEXT})),
            "stop_reason": {"enum": ["end_turn", "max_tokens", "refusal", "tool_use"]},
            "usage": _object({"input_tokens": _NUMBER, "output_tokens": _NUMBER}),
            "tierstream": ref("Routing"),
        }
    )


def _response() -> Json:
    statuses = ["completed", "incomplete", "failed", "cancelled", "queued", "in_progress"]
    schema = _object(
        {
            "id": _TEXT,
            "object": _only("response"),
            "created_at": _NUMBER,
            "status": {"enum": statuses},
            "model": _TEXT,
            "output": _several(_object({"type": _TEXT, "id": _TEXT})),
            "error": nullable(_object({"code": _TEXT, "message": _TEXT})),
            "usage": nullable(_object(dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), _NUMBER))),
        }
    )
    # Only of what has its answer is there anything to say.
    schema["properties"]["tierstream"] = ref("Routing")
    return schema


def _models() -> dict[str, Json]:
    openai = _object({"id": _TEXT, "object": _only("model"), "created": _NUMBER, "owned_by": _TEXT})
    named = {"id": _TEXT, "display_name": _TEXT, "created_at": {"type": "string", "format": "date-time"}}
    anthropic = _object({"type": _only("model"), **named})
    either = {"anyOf": [ref("OpenAIModel"), ref("AnthropicModel")]}
    openai_list = _object({"object": _only("list"), "data": _several(ref("OpenAIModel"))})
    ends = {"has_more": {"type": "boolean"}, "first_id": _TEXT, "last_id": _TEXT}
    anthropic_list = _object({"data": _several(ref("AnthropicModel")), **ends})
    return {
        "OpenAIModel": openai,
        "AnthropicModel": anthropic,
        "Model": either,
        "ModelList": {"anyOf": [openai_list, anthropic_list]},
    }


def _errors() -> dict[str, Json]:
    openai = _object({"message": _TEXT, "type": _TEXT, "code": _TEXT})
    openai["properties"]["param"] = nullable({"type": "string", "description": "The field that is wrong."})
    anthropic = {
        "type": _only("error"),
        "error": _object({"type": _TEXT, "message": _TEXT}),
        "request_id": nullable(_TEXT),
    }
    return {
        "OpenAIError": _object({"error": openai}),
        "AnthropicError": _object(anthropic),
        "Error": {"anyOf": [ref("OpenAIError"), ref("AnthropicError")]},
    }
