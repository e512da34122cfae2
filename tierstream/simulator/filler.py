"""Text and JSON made up from a hash, for prompts that no script knows and for wrong answers."""

import json
import random
from collections.abc import Mapping
from typing import Any, Final

from tierstream.simulator.chat import ApiError, stable_hash
from tierstream.simulator.tokens import count_tokens

_MIN_TOKENS: Final = 40
_MAX_TOKENS: Final = 200
_MAX_DEPTH: Final = 12

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
_FORMATS: Final = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


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
    """The smallest JSON text that satisfies a schema.

    Knows type, properties, required, enum, const, items, minItems, minimum, minLength, format, anyOf,
    oneOf, allOf (its first) and local references; other keywords are ignored.

    Raises:
        ApiError: A keyword has a value of the wrong type.
    """
    if not schema:
        return json.dumps({"answer": _SENTENCES[0]})
    try:
        return json.dumps(_instance(schema, schema, 0))
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


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    for keyword in ("anyOf", "oneOf", "allOf"):
        options = schema.get(keyword)
        if isinstance(options, list) and options and isinstance(options[0], dict):
            return options[0]
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: object = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) and part else found
    return found if isinstance(found, Mapping) else {}


def _instance(schema: object, root: Mapping[str, Any], depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    resolved = _resolved(schema, root)
    if resolved is not schema:
        return _instance(resolved, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    return _typed(schema, root, depth)


def _typed(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _instance(properties.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        return [_instance(schema.get("items", {}), root, depth + 1)] * max(1, schema.get("minItems", 1))
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "text").ljust(schema.get("minLength", 0), "x")
    if kind in {"integer", "number"}:
        above = schema.get("exclusiveMinimum")
        return schema.get("minimum", 0) if above is None else above + 1
    return False if kind == "boolean" else None
