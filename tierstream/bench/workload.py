"""What is asked in a run: requests that are written once as bytes, and get their ids as they are sent."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tierstream.demo.corpus import sample
from topics.codec import encode
from topics.partitioning import partition_for
from topics.requests import Request

_PLACE: Final = "bench-00000000-00000000"
"""Where the id of a request goes; as long as one, and found in calls by `mock_answers.REFERENCE`."""
_MIXED_SAMPLE: Final = 500
_SEED: Final = 1
_DIGITS: Final = 8
_TOP: Final = 3

_QUESTIONS: Final = (
    "What is the capital of France?",
    "How do I reset my password?",
    "When does the shop in the main street open?",
    "Translate into German: good morning.",
    "Which of the two is larger, 17 or 23?",
    "Give me the plural of the word mouse.",
    "Where do I find my last invoice?",
    "What colour do yellow and blue make?",
    "Say in one sentence that the parcel is late.",
    "How many days does February have?",
    "Is a tomato a fruit? Answer in one word.",
    "Rewrite politely: send me the file now.",
    "What is the opposite of early?",
    "How do I change the language of the app?",
    "Which month comes after May?",
    "What does the abbreviation PDF stand for?",
)


class Kind(StrEnum):
    """Which requests are sent."""

    TIER1 = "tier1"
    """Simple questions, for the cheapest tier."""
    MIXED = "mixed"
    """The demo's corpus: schemas, judged answers and the dearer tiers among them."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it travels."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    partition: int


class Workload:
    """The requests of one run, by number; two runs have no id in common.

    Args:
        kind: Which requests.
        partitions: Of the topics; without meaning where nothing is sent over Kafka.
    """

    def __init__(self, kind: Kind, partitions: int = 1) -> None:
        self.run = f"bench-{uuid.uuid4().hex[:8]}"
        self._partitions = partitions
        templates = _templates(kind)
        self._written = [encode(request) for request, _ in templates]
        self._chats = [_chat(request, tier) for request, tier in templates]

    def outgoing(self, number: int) -> Outgoing:
        """Write the request of a number."""
        request_id = self._id(number)
        written, key = self._written[number % len(self._written)], request_id.encode()
        return Outgoing(
            key=key,
            value=written.value.replace(_PLACE.encode(), key),
            headers=written.headers,
            partition=partition_for(request_id, self._partitions),
        )

    def chat_body(self, number: int) -> bytes:
        """Write the request of a number as chat completions have it, for the model `tier1`, `tier2` or `tier3`.

        Nothing decides on the tier there, so the model is named by the tier that the request needs.
        """
        return self._chats[number % len(self._chats)].replace(_PLACE.encode(), self._id(number).encode())

    def number(self, key: bytes | None) -> int | None:
        """Return the number of the request of a key; None for requests of others."""
        if key is None or not key.startswith(self.run.encode()):
            return None
        return int(key[-_DIGITS:])

    def _id(self, number: int) -> str:
        return f"{self.run}-{number:0{_DIGITS}d}"


def _templates(kind: Kind) -> Sequence[tuple[Request, int]]:
    """Return requests, each with the tier that it needs."""
    if kind is Kind.TIER1:
        return [(_question(number, text), 1) for number, text in enumerate(_QUESTIONS)]
    return [(_of_corpus(entry.request_fields()), entry.label or _TOP) for entry in sample(_MIXED_SAMPLE, _SEED)]


def _question(number: int, text: str) -> Request:
    return Request.model_validate(
        {
            "request_id": _PLACE,
            # In the text too: what is asked is new each time, and a call tells whose it is.
            "messages": [{"role": "user", "content": f"{text} ({_PLACE})"}],
            "user_id": f"user-{number}",
            "feature": "bench",
        }
    )


def _of_corpus(fields: dict[str, object]) -> Request:
    request = Request.model_validate({**fields, "request_id": _PLACE})
    last = request.messages[-1]
    told = last.model_copy(update={"content": f"{last.text} ({_PLACE})"})
    return request.model_copy(update={"messages": (*request.messages[:-1], told)})


def _chat(request: Request, tier: int) -> bytes:
    body: dict[str, Any] = {
        "model": f"tier{tier}",
        "messages": [{"role": message.role, "content": message.text} for message in request.messages],
    }
    if request.response_schema is not None:
        schema = {"name": "response", "schema": request.response_schema, "strict": False}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return json.dumps(body).encode()
