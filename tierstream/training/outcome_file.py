"""Files of prompts and of labelled outcomes: JSON objects, one a line, plain or gzip."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierstream.client.request_file import InputError, open_lines

_Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to be scored."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class LabelledOutcome:
    """What two models made of a prompt; 1 is right, 0 wrong, and a judge may give something between.

    `benchmark` and `subject` only sort the figures: no model is ever given them.
    """

    id: str
    prompt: str
    weak_correct: float
    strong_correct: float
    benchmark: str
    subject: str


def read_prompts(path: Path) -> Iterator[Prompt]:
    """Read `id` and `prompt` of each line; other fields are left alone.

    Raises:
        InputError: Naming line and field, or a file without any prompt.
        OSError: The file can't be read.
    """
    for place, entry in _objects(path):
        yield Prompt(_text(entry, "id", place), _text(entry, "prompt", place))


def read_outcomes(path: Path) -> list[LabelledOutcome]:
    """Read labelled outcomes: `id`, `prompt`, `weak_correct`, `strong_correct`, and maybe `benchmark` and `subject`.

    Raises:
        InputError: Naming line and field, or a file without any outcome.
        OSError: The file can't be read.
    """
    return [
        LabelledOutcome(
            id=_text(entry, "id", place),
            prompt=_text(entry, "prompt", place),
            weak_correct=_quality(entry, "weak_correct", place),
            strong_correct=_quality(entry, "strong_correct", place),
            benchmark=_optional_text(entry, "benchmark", place) or "outcomes",
            subject=_optional_text(entry, "subject", place),
        )
        for place, entry in _objects(path)
    ]


@dataclass(frozen=True, slots=True)
class ArmOutcomes:
    """What several models made of the same prompts, and what that cost.

    Attributes:
        models: Names, in one order for all prompts.
        prompts: The texts.
        rewards: (prompts, models) From 0 to 1.
        costs_usd: (prompts, models)
    """

    models: tuple[str, ...]
    prompts: tuple[str, ...]
    rewards: NDArray[np.float64]
    costs_usd: NDArray[np.float64]


def read_arm_outcomes(path: Path) -> ArmOutcomes:
    """Read `id`, `prompt`, `models`, `reward` and `cost_usd` (a list each, one entry a model) of each line.

    Raises:
        InputError: Naming line and field, or a file without any outcome.
        OSError: The file can't be read.
    """
    models: tuple[str, ...] = ()
    prompts, rewards, costs = [], [], []
    for place, entry in _objects(path):
        _text(entry, "id", place)
        prompts.append(_text(entry, "prompt", place))
        names = _list(entry, "models", place)
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names) or not names:
            raise InputError(f"{place}: models: a list of different names is wanted")
        if models and names != models:
            raise InputError(f"{place}: models: not those of the lines before, which are {', '.join(models)}")
        models = names
        rewards.append(_numbers(entry, "reward", place, len(models), 1.0))
        costs.append(_numbers(entry, "cost_usd", place, len(models), math.inf))
    return ArmOutcomes(models, tuple(prompts), np.array(rewards), np.array(costs))


def _list(entry: _Object, name: str, place: str) -> tuple[Any, ...]:
    value = _value(entry, name, place)
    if not isinstance(value, list):
        raise InputError(f"{place}: {name}: a list with an entry for each model is wanted, not {_kind(value)}")
    return tuple(value)


def _numbers(entry: _Object, name: str, place: str, count: int, most: float) -> list[float]:
    values = _list(entry, name, place)
    if len(values) != count:
        raise InputError(f"{place}: {name}: has {len(values)} entries for {count} models")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{place}: {name}: numbers are wanted, not {_kind(value)}")
        if not (math.isfinite(value) and 0 <= value <= most):
            wanted = "from 0 to 1" if most == 1 else "an amount of dollars"
            raise InputError(f"{place}: {name}: {value} is not {wanted}")
    return [float(value) for value in values]


def _objects(path: Path) -> Iterator[tuple[str, _Object]]:
    """Yield the object of each line, blank ones apart, with the name of its place; ids are unique."""
    first_line: dict[object, int] = {}
    with open_lines(path) as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            place = f"{path} line {number}"
            entry = _parse(raw, place)
            if (name := entry.get("id")) is not None and isinstance(name, str):
                first = first_line.setdefault(name, number)
                if first != number:
                    raise InputError(f"{place}: id: the same as on line {first}")
            yield place, entry
    if not first_line:
        raise InputError(f"{path}: there is no line with an id in it")


def _parse(raw: bytes, place: str) -> _Object:
    try:
        # Not strict: raw control characters and escaped lone surrogates are part of what people write.
        entry = json.loads(raw.decode("utf-8-sig"), strict=False)
    except UnicodeDecodeError as error:
        raise InputError(f"{place} column {error.start + 1}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{place} column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise InputError(f"{place}: not JSON that can be read: nested too deeply") from None
    if not isinstance(entry, dict):
        raise InputError(f"{place}: not a JSON object")
    return entry


def _optional_text(entry: _Object, name: str, place: str) -> str:
    """Read a text that may be left out, or null; then it is empty."""
    return "" if entry.get(name) is None else _text(entry, name, place)


def _text(entry: _Object, name: str, place: str) -> str:
    value = _value(entry, name, place)
    if not isinstance(value, str):
        raise InputError(f"{place}: {name}: text is wanted, not {_kind(value)}")
    return value


def _quality(entry: _Object, name: str, place: str) -> float:
    value = _value(entry, name, place)
    if not isinstance(value, int | float):
        raise InputError(f"{place}: {name}: a number from 0 (wrong) to 1 (right) is wanted, not {_kind(value)}")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise InputError(f"{place}: {name}: {value} is not from 0 (wrong) to 1 (right)")
    return float(value)


def _value(entry: _Object, name: str, place: str) -> object:
    if name not in entry:
        raise InputError(f"{place}: {name}: is missing")
    return entry[name]


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "an object"),
)


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")
