"""What is asked in a run: requests that are written once as bytes, and get their ids as they are sent."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tierstream.demo.corpus import sample
from topics.codec import encode
from topics.partitioning import partition_for
from topics.requests import Request

_PLACE: Final = "bench-00000000-00000000"
"""Where the id of a request goes; as long as one, and found in calls by `mock_answers.REFERENCE`."""
_MIXED_SAMPLE: Final = 500
_SEED: Final = 1
_DIGITS: Final = 8

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
        partitions: Of the topics.
    """

    def __init__(self, kind: Kind, partitions: int) -> None:
        self.run = f"bench-{uuid.uuid4().hex[:8]}"
        self._partitions = partitions
        self._written = [encode(request) for request in _templates(kind)]

    def outgoing(self, number: int) -> Outgoing:
        """Write the request of a number."""
        request_id = f"{self.run}-{number:0{_DIGITS}d}"
        written, key = self._written[number % len(self._written)], request_id.encode()
        return Outgoing(
            key=key,
            value=written.value.replace(_PLACE.encode(), key),
            headers=written.headers,
            partition=partition_for(request_id, self._partitions),
        )

    def text(self, number: int) -> str:
        """Return the last thing that the user says in the request of a number."""
        return Request.model_validate_json(self.outgoing(number).value).question

    def number(self, key: bytes | None) -> int | None:
        """Return the number of the request of a key; None for requests of others."""
        if key is None or not key.startswith(self.run.encode()):
            return None
        return int(key[-_DIGITS:])


def _templates(kind: Kind) -> Sequence[Request]:
    if kind is Kind.TIER1:
        return [
            Request.model_validate(
                {
                    "request_id": _PLACE,
                    # In the text too: what is asked is new each time, and a call tells whose it is.
                    "messages": [{"role": "user", "content": f"{question} ({_PLACE})"}],
                    "user_id": f"user-{number}",
                    "feature": "bench",
                }
            )
            for number, question in enumerate(_QUESTIONS)
        ]
    return [_of_corpus(entry.request_fields()) for entry in sample(_MIXED_SAMPLE, _SEED)]


def _of_corpus(fields: dict[str, object]) -> Request:
    request = Request.model_validate({**fields, "request_id": _PLACE})
    last = request.messages[-1]
    told = last.model_copy(update={"content": f"{last.text} ({_PLACE})"})
    return request.model_copy(update={"messages": (*request.messages[:-1], told)})
