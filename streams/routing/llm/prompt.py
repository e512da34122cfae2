"""What a language model is shown to give its vote on requests: quoted data, cut."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Final

from streams.routing.classifier import QueryType
from topics.messages import Message
from topics.requests import Request

PROMPT_VERSION: Final = "classify/1"
"""Recorded with each vote. Another text is another version, and another file."""

_FILE: Final = Path(__file__).with_name("prompts") / f"{PROMPT_VERSION.replace('/', '-')}.txt"
_HEAD_CHARACTERS: Final = 800
_TAIL_CHARACTERS: Final = 400
_CUT: Final = "\n[...]\n"
_KINDS: Final = frozenset(QueryType) - {QueryType.OTHER}

_REASONING_TOKENS: Final = 256
"""What a model that reasons at its lowest effort thinks before it writes; it counts against the limit."""
_TOKENS_A_REQUEST: Final = 6
_TOKENS_A_TIER: Final = 3


def question_of(request: Request) -> str | None:
    """Return what the model gets to see of a request: facts about it, then its question.

    The question is cut in its middle. Nothing else that the requester may write freely is shown: no system message, no
    earlier message, no name, label or tag.

    Returns:
        At most some 1,300 characters; None where the question is blank.
    """
    text = _without_middle(request.question.strip())
    return f"{_facts(request)}\n{text}" if text else None


def messages_for(questions: Sequence[str], tiers: int) -> tuple[Message, ...]:
    """Put questions before the model in one call, each as a line of JSON that its text can't get out of.

    Args:
        questions: Of `question_of`; their ids are 1, 2, and so on.
        tiers: How many there are.
    """
    lines = (_as_data({"id": number, "request": text}) for number, text in enumerate(questions, start=1))
    return Message(role="system", content=_instructions(tiers)), Message(role="user", content="\n".join(lines))


def response_schema_for(n: int, tiers: int) -> dict[str, Any]:
    """Describe the answer to `n` questions to providers that can be held to a schema."""
    # Without bounds of length and value, which some providers refuse; `read_answer` checks them.
    percents = {
        "type": "array",
        "items": {"type": "integer"},
        "description": f"percent for tier 1 to {tiers}, {tiers} whole numbers that add up to 100",
    }
    ids = [str(number) for number in range(1, n + 1)]
    return {
        "type": "object",
        "properties": dict.fromkeys(ids, percents),
        "required": ids,
        "additionalProperties": False,
    }


def max_tokens_for(n: int, tiers: int) -> int:
    """Return how many output tokens the answer to `n` questions may take."""
    return _REASONING_TOKENS + n * (_TOKENS_A_REQUEST + tiers * _TOKENS_A_TIER)


def _without_middle(text: str) -> str:
    longest = _HEAD_CHARACTERS + len(_CUT) + _TAIL_CHARACTERS
    return text if len(text) <= longest else text[:_HEAD_CHARACTERS] + _CUT + text[-_TAIL_CHARACTERS:]


def _facts(request: Request) -> str:
    context = request.context
    form = "free text" if request.response_schema is None else "JSON by a given schema"
    facts = [f"impact {context.business_impact}", f"tolerance {context.error_tolerance}", f"answer in {form}"]
    # The label is the producer's own word, so only the known ones are passed on.
    return ", ".join([f"kind {request.query_type}", *facts] if request.query_type in _KINDS else facts)


def _as_data(entry: dict[str, Any]) -> str:
    """Write one line of JSON in which nothing stands that other programs than JSON readers take for more than text."""
    encoded = json.dumps(entry, ensure_ascii=False)
    # The first begins tags and most marks of chat templates, whatever the model; the others are ends of lines to some.
    for character in "<\x7f\x85\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return encoded


@cache
def _instructions(tiers: int) -> str:
    template = Template(_FILE.read_text(encoding="utf-8").strip())
    return template.substitute(tiers=tiers, example=_example(tiers))


def _example(tiers: int) -> str:
    easy, hard = [90, 10, *[0] * (tiers - 2)], [*[0] * (tiers - 2), 20, 80]
    return json.dumps({"1": easy, "2": hard}, separators=(",", ":"))
