"""Text and JSON made up from a hash, for prompts that no script knows and for wrong answers."""

import json
import random
from collections.abc import Mapping
from typing import Any, Final

from tierstream.simulator.chat import ApiError, stable_hash
from tierstream.simulator.json_instances import instance_of
from tierstream.simulator.tokens import count_tokens

_MIN_TOKENS: Final = 40
_MAX_TOKENS: Final = 200

_SENTENCES: Final = (
    "The request can be handled in the usual way, and nothing in it needs special care.",
    "Start with the figures of the last quarter and compare them with the plan.",
    "In most cases the simpler option is also the cheaper one to keep.",
    "Check the order number first, because it decides which team is responsible.",
    "The second paragraph repeats the first in other words and can be left out.",
    "A short summary is enough here; the details follow from the attached list.",
    "Two of the three conditions are met, and the third depends on the delivery date.",
    "If the value is missing, use the default and note it in the report.",
    "The customer asks for a refund and for a date by which it will arrive.",
    "Both versions give the same result, but the later one is easier to read.",
    "Please allow up to five working days before the change shows in the account.",
    "The main risk is a delay in the supply, which would move the launch by a month.",
    "Group the entries by region, then sort each group by revenue.",
    "It helps to write the steps down before one begins to change the settings.",
    "The tone of the message is friendly, although the matter is urgent.",
    "As far as the text goes, there is no sign of an error in the calculation.",
)
_SENTENCE_TOKENS: Final = tuple(count_tokens(sentence) for sentence in _SENTENCES)

_HEDGES: Final = (
    "I don't know the answer to this. I'm not sure that I have enough information to say.",
    "I'm not sure. I can't answer this with confidence from what I know.",
    "I'm sorry, but I don't have enough information to answer that question.",
    "It is hard to say. I don't know enough about this to give a reliable answer.",
)
_OPPOSITES: Final = {"yes": "No", "no": "Yes", "true": "False", "false": "True"}


def generic_text(prompt: str) -> str:
    """Prose of 40 to 200 tokens; the same prompt always gets the same."""
    # Not for secrets: the generator has to repeat itself.
    draw = random.Random(stable_hash("text", prompt))  # noqa: S311
    target = draw.randint(_MIN_TOKENS, _MAX_TOKENS - max(_SENTENCE_TOKENS))
    sentences: list[str] = []
    tokens = 0
    # Each at most once: a text that says things again and again is a model's failure.
    for index in draw.sample(range(len(_SENTENCES)), len(_SENTENCES)):
        if tokens >= target:
            break
        sentences.append(_SENTENCES[index])
        tokens += _SENTENCE_TOKENS[index]
    return " ".join(sentences)


def hedge_text(prompt: str) -> str:
    """An answer that declines to answer."""
    return _HEDGES[stable_hash("hedge", prompt) % len(_HEDGES)]


def wrong_text(prompt: str, answer: str) -> str:
    """A plausible answer that differs from the right one and keeps its form: number, yes or no, JSON, prose."""
    stripped = answer.strip()
    opposite = _OPPOSITES.get(stripped.lower().rstrip("."))
    if opposite is not None:
        return opposite
    try:
        value = json.loads(stripped)
    except ValueError:
        sentence = _SENTENCES[stable_hash("wrong", prompt) % len(_SENTENCES)]
        return sentence if sentence != stripped else f"{sentence} It is settled."
    return json.dumps(_altered(value, 1 + stable_hash("wrong", prompt) % 9))


def off_schema_text(answer: str) -> str:
    """An answer that misses the schema of the right one: prose, or JSON without its first key or inside another."""
    try:
        value = json.loads(answer)
    except ValueError:
        return f"Here is the record that you asked for: {answer}"
    return json.dumps(dict(list(value.items())[1:]) if isinstance(value, dict) and value else {"record": value})


def schema_instance(schema: Mapping[str, Any]) -> str:
    """The smallest JSON text that satisfies a schema, as far as `instance_of` knows its keywords.

    Raises:
        ApiError: A keyword has a value of the wrong type.
    """
    if not schema:
        return json.dumps({"answer": _SENTENCES[0]})
    try:
        return json.dumps(instance_of(schema))
    except (TypeError, AttributeError) as error:
        raise ApiError(400, f"The JSON schema of the response format is malformed: {error}") from error


def _altered(value: object, shift: int) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + shift
    if isinstance(value, str):
        return f"{value} {shift}"
    if isinstance(value, list):
        return [_altered(item, shift) for item in value] or [shift]
    if isinstance(value, dict):
        return {key: _altered(item, shift) for key, item in value.items()}
    return shift
