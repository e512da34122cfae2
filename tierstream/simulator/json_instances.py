"""Values made up for a JSON Schema."""

import math
from collections.abc import Mapping
from typing import Any, Final

_MAX_DEPTH: Final = 12
_FORMATS: Final = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance_of(schema: Mapping[str, Any], variant: int = 0) -> object:
    """The smallest value that satisfies a schema.

    Knows type, properties, required, enum, const, items, minItems, maxItems, uniqueItems, minimum, maximum, their
    exclusive kinds, multipleOf, minLength, maxLength, format, anyOf, oneOf, allOf (its first) and local references;
    other keywords are ignored.

    Args:
        schema: It.
        variant: Where the schema leaves a choice, each number has another value: 0 the smallest.

    Raises:
        TypeError: A keyword has a value of the wrong type; or AttributeError.
    """
    return _instance(schema, schema, variant, 0)


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


def _instance(schema: object, root: Mapping[str, Any], variant: int, depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    resolved = _resolved(schema, root)
    if resolved is not schema:
        return _instance(resolved, root, variant, depth + 1)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][variant % len(schema["enum"])]
    return _typed(schema, root, variant, depth)


def _typed(schema: Mapping[str, Any], root: Mapping[str, Any], variant: int, depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {
                name: _instance(properties.get(name, {}), root, variant, depth + 1)
                for name in schema.get("required", ())
            }
        case "array":
            items, count = schema.get("items", {}), max(1, schema.get("minItems", 1))
            step = 1 if schema.get("uniqueItems") else 0
            places = range(min(count, schema.get("maxItems", count)))
            return [_instance(items, root, variant + step * place, depth + 1) for place in places]
        case "string":
            return _string(schema, variant)
        case "integer" | "number":
            return _number(schema, variant, whole=kind == "integer")
        case "boolean":
            return variant % 2 == 1
        case _:
            return None


def _string(schema: Mapping[str, Any], variant: int) -> str:
    made_up = schema.get("format", "") not in _FORMATS
    text = "text" if made_up else _FORMATS[schema["format"]]
    least = schema.get("minLength", 0)
    if not made_up:
        return text.ljust(least, "x")
    most = schema.get("maxLength", math.inf)
    number = f"-{variant}" if variant else ""
    if len(text) + len(number) > most:
        text, number = "text"[: int(most)], ""
    return text.ljust(least - len(number), "x") + number


def _number(schema: Mapping[str, Any], variant: int, *, whole: bool) -> float:
    """The smallest number from the lower bound on that fits, and from there on by whole steps; 0 without bounds."""
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = schema.get("minimum") if above is None else above + 1
    high = schema.get("maximum", math.inf) if below is None else below - 1
    step = schema.get("multipleOf", 1)
    if low is None:
        low = min(0, high)
    if whole or "multipleOf" in schema:
        low = math.ceil(low / step) * step
    elif low > high:
        # Less than 1 lies between bounds that are no values themselves.
        low = (schema.get("minimum", above) + schema.get("maximum", below)) / 2
    found: float = low + variant * step
    return found if found <= high else low
