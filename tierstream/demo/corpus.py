"""Typed access to the demo corpus: load it, sample traffic from it, script the simulator, judge answers.

Only the fields named in `REQUEST_FIELDS` are what a service would send; the rest (label, right answer, the way
a too-weak model fails, weight) is known to the simulator and the evaluation alone.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Pattern = Literal["faq", "extraction", "code", "support", "analysis"]
Label = Literal[1, 2, 3] | None
Failure = Literal["wrong", "hedge", "truncated", "schema", "empty"]

REQUEST_FIELDS = frozenset(
    {"user_id", "feature", "messages", "params", "response_schema", "context", "service_class", "tags"}
)
# Below this size a rare label can be missing by chance without making the sample useless.
LABELS_GUARANTEED_FROM = 100


class CorpusError(ValueError):
    """The corpus can't be used; the message names the line and the field, never a text of the corpus."""


class CorpusMessage(BaseModel):
    """One chat message in OpenAI's shape, text only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(min_length=1)]


class CorpusContext(BaseModel):
    """What the sending service knows about the request besides its text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_role: str
    error_tolerance: Literal["low", "normal", "high"]
    business_impact: Literal["low", "normal", "critical"]
    self_validating: bool
    data_class: Literal["public", "internal", "restricted"]


class CorpusEntry(BaseModel):
    """One request of the corpus with its right answer.

    Attributes:
        label: The lowest tier that should serve the request well, as an expert sees its difficulty; None when
            no model can answer it right.
        answer: The right answer; JSON text when `response_schema` is set.
        wrong: What a too-weak model says when its failure is "wrong": plausible, and valid by the schema.
        failure: How a model below `label` fails; "wrong" is the one that free checks can't see.
        weight: Relative frequency in the traffic.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z]+-\d{3}$")]
    pattern: Pattern
    user_id: str
    feature: str
    messages: Annotated[tuple[CorpusMessage, ...], Field(min_length=1)]
    params: dict[str, Any] | None = None
    response_schema: dict[str, Any] | None = None
    context: CorpusContext
    service_class: Literal["interactive", "standard", "bulk"] | None = None
    tags: tuple[str, ...] = ()
    label: Label
    answer: Annotated[str, Field(min_length=1)]
    wrong: str | None = None
    failure: Failure | None = None
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        if self.label != 1 and self.failure is None:
            raise ValueError("an entry that the first tier can't serve needs a failure")
        if (self.failure == "wrong") != (self.wrong is not None):
            raise ValueError("a wrong text belongs to the failure 'wrong' and to no other")
        if self.failure == "schema" and self.response_schema is None:
            raise ValueError("the failure 'schema' needs a response_schema")
        return self

    @property
    def prompt(self) -> str:
        """The last user message, unique in the corpus."""
        return self.messages[-1].content

    def request_fields(self) -> dict[str, Any]:
        """The fields of the request as a service would send it, ready for JSON; unset ones are left out."""
        return self.model_dump(mode="json", include=set(REQUEST_FIELDS), exclude_unset=True)

    def script(self) -> dict[str, Any]:
        """The entry as the simulator is told it: prompt, label, answer and, where given, wrong and failure."""
        script: dict[str, Any] = {"prompt": self.prompt, "label": self.label, "answer": self.answer}
        if self.wrong is not None:
            script["wrong"] = self.wrong
        if self.failure is not None:
            script["failure"] = self.failure
        return script

    def right(self, content: str) -> bool:
        """Whether a result's content is the right answer.

        JSON answers (objects and arrays) compare by value, whatever the key order, white space or notation of
        numbers; all others as text without surrounding white space.
        """
        expected = _canonical_json(self.answer)
        if expected is None:
            return content.strip() == self.answer.strip()
        return _canonical_json(content) == expected


def parse(text: str) -> tuple[CorpusEntry, ...]:
    """Read a corpus from JSON lines.

    Args:
        text: One JSON object a line; blank lines are skipped.

    Raises:
        CorpusError: A line is not a valid entry, an id or a prompt occurs twice, or there is no entry.
    """
    entries: list[CorpusEntry] = []
    first_line: dict[tuple[str, str], int] = {}
    # JSON may hold U+2028 and the like inside its strings, where str.splitlines would cut.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        entry = _parse_line(line, number)
        for field, value in (("id", entry.id), ("last user message", entry.prompt)):
            first = first_line.setdefault((field, value), number)
            if first != number:
                raise CorpusError(f"corpus line {number}: the {field} repeats that of line {first}; make it unique")
        entries.append(entry)
    if not entries:
        raise CorpusError("the corpus is empty; it needs at least one JSON line")
    return tuple(entries)


@cache
def load() -> tuple[CorpusEntry, ...]:
    """The corpus that ships with the package, in the order of its file.

    Raises:
        CorpusError: The file is damaged.
    """
    return parse(resources.files(__package__).joinpath("corpus.jsonl").read_text(encoding="utf-8"))


def sample(n: int, seed: int) -> list[CorpusEntry]:
    """Draw `n` entries by weight, in random order; the same seed gives the same sample.

    From twice the size of the corpus on, every entry occurs at least once; from 100 on, every label does.

    Raises:
        ValueError: `n` is negative.
    """
    if n < 0:
        raise ValueError(f"a sample can't have {n} entries; ask for 0 or more")
    rng = random.Random(seed)  # noqa: S311 - traffic has to be reproducible, not unpredictable
    entries = load()
    weights = [entry.weight for entry in entries]
    if n >= 2 * len(entries):
        # The one guaranteed use counts towards an entry's share, so that coverage does not bend the label mix.
        total = sum(weights)
        rest = [max(0.0, n * weight / total - 1) for weight in weights]
        picked = [*entries, *rng.choices(entries, rest, k=n - len(entries))]
    else:
        picked = rng.choices(entries, weights, k=n)
        if n >= LABELS_GUARANTEED_FROM:
            _add_missing_labels(picked, entries, rng)
    rng.shuffle(picked)
    return picked


def script_entries() -> Iterator[dict[str, Any]]:
    """The simulator's script: that of each entry."""
    return (entry.script() for entry in load())


def _parse_line(line: str, number: int) -> CorpusEntry:
    try:
        return CorpusEntry.model_validate_json(line)
    except ValidationError as error:
        # The library's own message quotes the input, and prompts and answers must not end in a log.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "entry"
        raise CorpusError(f"corpus line {number}: {where}: {first['msg']}; correct that line") from None


def _add_missing_labels(picked: list[CorpusEntry], entries: tuple[CorpusEntry, ...], rng: random.Random) -> None:
    counts = Counter(entry.label for entry in picked)
    commonest = counts.most_common(1)[0][0]
    replaceable = [index for index, entry in enumerate(picked) if entry.label == commonest]
    rng.shuffle(replaceable)
    for label in dict.fromkeys(entry.label for entry in entries if entry.label not in counts):
        candidates = [entry for entry in entries if entry.label == label]
        weights = [entry.weight for entry in candidates]
        picked[replaceable.pop()] = rng.choices(candidates, weights)[0]


def _canonical_json(text: str) -> str | None:
    """One text for all notations of the same JSON object or array; None for anything else."""
    try:
        # Integers become floats since 5 and 5.0 are one JSON number, while Python's True == 1 must not count.
        value = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else None
