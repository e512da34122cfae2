"""What the mock provider says: bodies that are made once, for whatever the free checks, votes and the judge expect."""

import json
import re
from typing import Any, Final

from tierstream.simulator.filler import schema_instance

REFERENCE: Final = re.compile(rb"bench-[0-9a-f]{8}-\d{8}")
"""How a request of ours is known in the body of a call."""

_MODEL: Final = re.compile(rb'"model":\s*"([^"\\]*)"')
_VOTE: Final = re.compile(rb"classify/\d+: (\d+) tiers")
_JUDGED: Final = b"<answer>"
_SCHEMA: Final = b'"json_schema"'
_MESSAGES_PATH: Final = b"/messages"
_TEXT: Final = "It is the larger of the two, as the table on the second page shows."
_VERDICT: Final = json.dumps({"verdict": "pass", "confidence": 0.9, "reason": "It agrees with what was given."})
_INPUT_TOKENS, _OUTPUT_TOKENS = 48, 16


class MockAnswers:
    """HTTP responses by what is asked; those that can repeat are kept."""

    def __init__(self) -> None:
        self._plain: dict[tuple[bool, bytes, str], bytes] = {}

    def response(self, path: bytes, body: bytes) -> bytes:
        """Return the whole response to a call, head and body.

        Args:
            path: Ends in `/messages` for Anthropic's protocol; every other one is chat completions.
            body: Of the call.
        """
        found = _MODEL.search(body)
        model, messages = (found[1] if found else b"mock"), path.endswith(_MESSAGES_PATH)
        vote = _VOTE.search(body)
        if vote is not None:
            return _http(_completion(messages, model, _votes(body, int(vote[1]))))
        if _SCHEMA in body and _JUDGED not in body:
            return _http(_completion(messages, model, schema_instance(_schema(body))))
        text = _VERDICT if _JUDGED in body else _TEXT
        key = (messages, model, text)
        if key not in self._plain:
            self._plain[key] = _http(_completion(messages, model, text))
        return self._plain[key]


def asks_for_answer(body: bytes) -> bool:
    """Whether a call is for the answer to a request, and not for votes or for a verdict."""
    return _JUDGED not in body and _VOTE.search(body) is None


def http_response(value: object) -> bytes:
    """Return a response of a JSON value."""
    return _http(json.dumps(value).encode())


def _http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _completion(messages: bool, model: bytes, text: str) -> bytes:  # noqa: FBT001
    return json.dumps(_message(model.decode(), text) if messages else _chat(model.decode(), text)).encode()


def _chat(model: str, text: str) -> dict[str, Any]:
    usage = {
        "prompt_tokens": _INPUT_TOKENS,
        "completion_tokens": _OUTPUT_TOKENS,
        "total_tokens": _INPUT_TOKENS + _OUTPUT_TOKENS,
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def _message(model: str, text: str) -> dict[str, Any]:
    return {
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": _INPUT_TOKENS, "output_tokens": _OUTPUT_TOKENS},
    }


def _votes(body: bytes, tiers: int) -> str:
    """Say of each request that is asked about that the first tier will do."""
    first = [90, 10, *[0] * (tiers - 2)]
    lines = json.loads(body)["messages"][-1]["content"].split("\n")
    return json.dumps({str(json.loads(line)["id"]): first for line in lines}, separators=(",", ":"))


def _schema(body: bytes) -> dict[str, Any]:
    asked = json.loads(body)
    wanted = asked.get("response_format") or asked["output_config"]["format"]
    found: dict[str, Any] = wanted["json_schema"]["schema"] if "json_schema" in wanted else wanted["schema"]
    return found
