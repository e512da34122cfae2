"""What is wrong with settings, in words: each problem with the variable or file that it stands in, and its key."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

VARIABLE_PREFIX: Final = "TIERSTREAM_"
NESTED: Final = "__"
STANDARD_VARIABLES: Final = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers"),
    "CLICKHOUSE_URL": ("clickhouse", "url"),
}
"""Variables that other Kafka and ClickHouse programs use too, and the settings that they stand for."""

_SECTION: Final = re.compile(r'field "(\w+)"')
_ALIKE: Final = 0.85
_OF_KUBERNETES: Final = ("SERVICE_HOST", "SERVICE_PORT")
"""They are much like `SERVE__HOST`, and nobody has mistyped them."""
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "decimal_max_places": "must have at most {decimal_places} decimal places",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "path_type": "must be a path",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}
"""By pydantic's type of error; no sentence repeats a value, for values may be secrets."""


class Contradictions(ValueError):  # noqa: N818 - what they are, not one error
    """Settings that are right one by one and do not go together.

    Attributes:
        found: The key of a setting that takes part, and what is wrong.
    """

    def __init__(self, found: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(text for _, text in found))
        self.found = tuple(found)


def problems(error: ValidationError, model: type[BaseModel], environ: Mapping[str, str], elsewhere: str) -> list[str]:
    """Describe everything that validation found, a line each.

    Args:
        error: Of the validation.
        model: Of all settings.
        environ: The environment that they were read from.
        elsewhere: What to call the place of what no variable sets.
    """
    lines: list[str] = []
    found: list[tuple[tuple[int | str, ...], str]]
    for detail in error.errors(include_url=False, include_input=False):
        contradictions = detail.get("ctx", {}).get("error")
        if isinstance(contradictions, Contradictions):
            found = [(tuple(key.split(".")), text) for key, text in contradictions.found]
        else:
            key = ".".join(map(str, detail["loc"]))
            found = [(detail["loc"], f"{key}: {_in_words(detail, model)}")]
        lines.extend(f"{_variable_of(loc, environ) or elsewhere}: {text}" for loc, text in found)
    return lines


def unknown_variables(model: type[BaseModel], environ: Mapping[str, str]) -> list[str]:
    """Describe each variable that is meant for a setting that there is none of, a line each.

    Other variables begin like ours too: the program's own, and those that Kubernetes sets for a service that is called
    as we are. So one counts only if it has a section, or is nearly the name of a setting.
    """
    known = {NESTED.join(path).upper() for path in _paths(model)}
    alike = {name.replace(NESTED, "_"): name for name in known}
    lines: list[str] = []
    for variable, value in sorted(environ.items()):
        name = variable.upper().removeprefix(VARIABLE_PREFIX)
        section = name.partition(NESTED)[0].lower()
        if name == variable.upper() or not value or section in model.model_fields or name.startswith(_OF_KUBERNETES):
            continue
        nearest = get_close_matches(name.replace(NESTED, "_"), alike, n=1, cutoff=_ALIKE)
        if nearest:
            lines.append(f"{variable}: no setting is called so; did you mean {VARIABLE_PREFIX}{alike[nearest[0]]}?")
        elif NESTED in name:
            lines.append(f"{variable}: no setting is called so")
    return lines


def unreadable_variable(error: Exception, environ: Mapping[str, str]) -> str:
    """Describe a variable that should hold JSON; the library's error names its section alone."""
    named = _SECTION.search(str(error))
    whole = VARIABLE_PREFIX + (named[1] if named else "").upper()
    suspects = [name for name, value in environ.items() if name.upper().startswith(whole) and not _is_json(value)]
    return f"{' or '.join(sorted(suspects))}: not valid JSON, which lists and tables have to be"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _in_words(detail: ErrorDetails, model: type[BaseModel]) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        *above, name = detail["loc"]
        nearest = get_close_matches(str(name), _names_at(above, model), n=1)
        return f"there is no such setting; did you mean {nearest[0]}?" if nearest else "there is no such setting"
    if detail["type"] == "value_error":
        return str(context["error"])
    words = _WORDS.get(detail["type"])
    return words.format(**context) if words is not None else detail["msg"]


def _variable_of(loc: Sequence[int | str], environ: Mapping[str, str]) -> str | None:
    """Name the variable that a value comes from, or that of a whole that it is part of; None: there is none."""
    for length in range(len(loc), 0, -1):
        name = VARIABLE_PREFIX + NESTED.join(map(str, loc[:length])).upper()
        for variable, value in environ.items():
            if variable.upper() == name and value:
                return variable
    return next((name for name, path in STANDARD_VARIABLES.items() if path == tuple(loc) and environ.get(name)), None)


def _names_at(loc: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """List the settings that there are under a key; positions in lists and names in tables count for nothing."""
    for part in loc:
        if part in model.model_fields:
            model = _nested(model.model_fields[str(part)].annotation) or model
    return list(model.model_fields)


def _paths(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, setting in model.model_fields.items():
        yield (name,)
        if isinstance(setting.annotation, type) and issubclass(setting.annotation, BaseModel):
            for below in _paths(setting.annotation):
                yield (name, *below)


def _nested(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type
    """Find the section that a setting is made of, also in a list or a table."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _nested(part)) is not None), None)
