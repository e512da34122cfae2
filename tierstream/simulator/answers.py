"""What a model answers: calls of tools, by script for known prompts, as a judge, and made up for all else."""

import gzip
import json
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from tierstream.simulator.behaviour import ModelBehaviour, describe_errors
from tierstream.simulator.chat import Answer, ChatRequest, Finish, stable_hash, stable_share
from tierstream.simulator.classification import asks_for_tiers, classified
from tierstream.simulator.filler import generic_text, hedge_text, off_schema_text, schema_instance, wrong_text
from tierstream.simulator.tokens import count_tokens, first_tokens
from tierstream.simulator.tool_calls import report, said_before, wanted_calls

Failure = Literal["wrong", "hedge", "truncated", "schema", "empty"]

_QUESTION: Final = re.compile(r"<question>(.*?)</question>", re.DOTALL)
_ANSWER: Final = re.compile(r"<answer>(.*)</answer>", re.DOTALL)
_ANSWER_A: Final = re.compile(r"<answer_a>(.*)</answer_a>", re.DOTALL)
_ANSWER_B: Final = re.compile(r"<answer_b>(.*)</answer_b>", re.DOTALL)
_COMPARED: Final = (_QUESTION, _ANSWER_A, _ANSWER_B)
_HEDGE_SHARE: Final = 0.5
_START_CHARACTERS: Final = 60
"""By which a prompt is found of which only a part is shown."""


class ScriptError(ValueError):
    """A script can't be read; the message is one line that names the file and the line."""


@validated_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class ScriptEntry:
    """The right answer to a prompt, and who gives it.

    A model whose tier is at least `label` answers right; None means that no model does. `answers` has
    texts by model id that go before this rule. `finish` and `wrong_finish` are how the texts of `answer`
    and `wrong` say that they end.
    """

    prompt: str
    label: int | None
    answer: str
    wrong: str | None = None
    failure: Failure | None = None
    answers: dict[str, str] | None = None
    finish: Finish = "stop"
    wrong_finish: Finish = "stop"


_ENTRY: Final = TypeAdapter(ScriptEntry)


class Script:
    """Entries by the text of their prompt, stripped; a later entry replaces an earlier one."""

    def __init__(self, entries: Iterable[ScriptEntry | Mapping[str, Any]] = ()) -> None:
        self._entries: dict[str, ScriptEntry] = {}
        self._by_start: dict[str, dict[str, ScriptEntry]] = {}
        for entry in entries:
            self.add(entry if isinstance(entry, ScriptEntry) else _ENTRY.validate_python(entry))

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Self:
        """Read JSONL files, gzip-compressed where they end in `.gz`.

        Raises:
            ScriptError: A file is missing, or a line is not an entry.
        """
        script = cls()
        for path in paths:
            try:
                raw = path.read_bytes()
                text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
            except (OSError, EOFError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else error
                raise ScriptError(f"{path}: can't be read ({reason}); name a JSONL file, plain or .gz") from error
            script.add_lines(text, str(path))
        return script

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: ScriptEntry) -> None:
        """Add an entry."""
        prompt = entry.prompt.strip()
        self._entries[prompt] = entry
        self._by_start.setdefault(_start(prompt), {})[prompt] = entry

    def add_lines(self, text: str, source: str) -> int:
        """Add the entries of a JSONL text, all or none, and return their number.

        Raises:
            ScriptError: A line is not an entry.
        """
        entries: list[ScriptEntry] = []
        # Not splitlines(): JSON strings may hold U+2028 and its like unescaped.
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                entries.append(_ENTRY.validate_json(line))
            except ValidationError as error:
                raise ScriptError(f"{source}, line {number}: {describe_errors(error)}") from error
        for entry in entries:
            self.add(entry)
        return len(entries)

    def find(self, prompt: str) -> ScriptEntry | None:
        """The entry of a prompt."""
        return self._entries.get(prompt.strip())

    def find_part(self, text: str) -> ScriptEntry | None:
        """The entry of a prompt that was shortened, or from which something was taken: the one that is like it longest.

        Nothing where it does not start as any prompt does.
        """
        whole = self.find(text)
        if whole is not None:
            return whole
        alike = self._by_start.get(_start(text), {})
        return max(alike.values(), key=lambda entry: _alike(entry.prompt.strip(), text), default=None)


def _start(text: str) -> str:
    return " ".join(text[: 2 * _START_CHARACTERS].split())[:_START_CHARACTERS]


def _alike(one: str, other: str) -> int:
    """How many characters both start with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def choose_answer(script: Script, request: ChatRequest, behaviour: ModelBehaviour) -> Answer:
    """The answer of a model; it depends on nothing but the script, the request and the behaviour."""
    prompt = request.conversation.prompt
    if asks_for_tiers(request.conversation):
        return Answer(classified(request, behaviour, lambda text: _label(script, text)))
    calls = wanted_calls(request)
    if calls:
        return Answer(said_before(request), calls=calls)
    entry = script.find(prompt)
    if entry is not None:
        return _scripted(entry, request.model, behaviour.tier)
    verdict = _judged(script, prompt, request.model, behaviour.judge_error_rate)
    verdict = verdict or _compared(script, prompt, request.model, behaviour)
    if verdict is not None:
        return verdict
    return Answer(_made_up(request))


def _made_up(request: ChatRequest) -> str:
    if request.json_schema is not None:
        return schema_instance(request.json_schema)
    if request.conversation.results:
        return report(request.conversation.results)
    return generic_text(request.conversation.prompt)


def _label(script: Script, text: str) -> int | None:
    """The tier from which on models answer a prompt right; what none does needs the best. None: not scripted."""
    entry = script.find_part(text)
    return None if entry is None else entry.label or sys.maxsize


def _scripted(entry: ScriptEntry, model: str, tier: int) -> Answer:
    if entry.answers is not None and model in entry.answers:
        return Answer(entry.answers[model])
    if entry.label is not None and tier >= entry.label:
        return Answer(entry.answer, entry.finish)
    return _failed(entry)


def _failed(entry: ScriptEntry) -> Answer:
    """The answer of a model that is too weak for the prompt; the same in every such model."""
    failure = entry.failure
    if failure is None:
        failure = "hedge" if stable_share("failure", entry.prompt) < _HEDGE_SHARE else "wrong"
    match failure:
        case "wrong":
            if entry.wrong is None:
                return Answer(wrong_text(entry.prompt, entry.answer))
            return Answer(entry.wrong, entry.wrong_finish)
        case "hedge":
            return Answer(hedge_text(entry.prompt))
        case "truncated":
            return Answer(first_tokens(entry.answer, max(1, count_tokens(entry.answer) // 2)), "length")
        case "schema":
            return Answer(off_schema_text(entry.answer))
        case "empty":
            return Answer("")


def _judged(script: Script, prompt: str, model: str, error_rate: float) -> Answer | None:
    """The verdict on an answer, or None if the prompt does not ask for one."""
    question, answer = _QUESTION.search(prompt), _ANSWER.search(prompt)
    if question is None or answer is None:
        return None
    entry = script.find(question[1])
    passed = entry is None or entry.answer.strip() == answer[1].strip()
    identity = ("judge", model, question[1].strip(), answer[1].strip())
    if stable_share(*identity) < error_rate:
        passed = not passed
    verdict = {
        "verdict": "pass" if passed else "fail",
        "confidence": 0.75 + stable_hash("confidence", *identity) % 25 / 100,
        "problems": [] if passed else ["wrong"],
        "reason": "It answers the question." if passed else "It does not answer the question correctly.",
    }
    return Answer(json.dumps(verdict))


def _compared(script: Script, prompt: str, model: str, behaviour: ModelBehaviour) -> Answer | None:
    """Which of two answers is better, or None if the prompt does not ask for that.

    A judge that errs says something else than what is true; one that is biased takes the first, whichever it is.
    """
    question, a, b = (found and found[1].strip() for found in (p.search(prompt) for p in _COMPARED))
    if question is None or a is None or b is None:
        return None
    entry = script.find(question)
    is_right = [entry is not None and entry.answer.strip() == answer for answer in (a, b)]
    better = "same" if is_right[0] == is_right[1] else "AB"[is_right.index(True)]
    identity = ("compare", model, question, a, b)
    if stable_share(*identity) < behaviour.judge_error_rate:
        others = [place for place in ("A", "B", "same") if place != better]
        better = others[stable_hash("other", *identity) % len(others)]
    if stable_share("position", model, question, *sorted((a, b))) < behaviour.judge_position_bias:
        better = "A"
    reason = "Both serve alike." if better == "same" else f"{better} answers the question."
    return Answer(json.dumps({"better": better, "reason": reason}))
