"""Files of requests with an answer each, good or bad, and the script by which the simulator gives these answers."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tierstream.client.request_file import InputError, open_lines
from tierstream.simulator.chat import ApiError, Finish
from tierstream.simulator.filler import schema_instance
from topics.requests import Request

GOOD: Final = "good"
"""The kind of the answers that nothing is wrong with."""

_QUOTED_CHARACTERS: Final = 200
_MARKS: Final = str.maketrans("", "", '`"“”„«»<>{}[]()*_#|')


def _with_an_id(fields: object) -> object:
    return {"request_id": "pair", **fields} if isinstance(fields, Mapping) else fields


class AnswerPair(BaseModel):
    """A request and an answer to it.

    Attributes:
        id: Of the pair.
        kind: `good`, or what is wrong with the answer.
        request: As a service sends it; its id may be left out.
        answer: The text.
        finish_reason: How it says that it ends.
    """

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]
    request: Annotated[Request, BeforeValidator(_with_an_id)]
    answer: str
    finish_reason: Finish = "stop"

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with the answer."""
        return self.kind == GOOD

    @property
    def prompt(self) -> str:
        """What the simulator knows the request by."""
        return self.request.question.strip()

    @property
    def right_from(self) -> int:
        """The lowest tier that answers right."""
        return 1 if self.is_good else 2

    @property
    def right_answer(self) -> str:
        """What the tiers from `right_from` on say.

        Of a bad answer the file has no better one. In its place stands what no check has a reason to stop: the least
        JSON of the schema, or the beginning of the question, which is in its language and has its names and numbers.
        """
        if self.is_good:
            return self.answer
        found = self._made_up()
        return found if found.strip() != self.answer.strip() else f"{found} ({found})"

    def _made_up(self) -> str:
        if self.request.response_schema is not None:
            try:
                return schema_instance(self.request.response_schema)
            except ApiError:
                return json.dumps({})
        line = next((line for line in map(_plain, self.prompt.split("\n")) if line), "Yes")
        return f"{line[:_QUOTED_CHARACTERS].rstrip(' .,:;!?')}."


def _plain(line: str) -> str:
    return " ".join(line.translate(_MARKS).split())


def read_pairs(path: Path) -> list[AnswerPair]:
    """Read a file of pairs, JSON objects, one a line, plain or gzip.

    Raises:
        InputError: Naming line and field; or there is no pair.
        OSError: The file can't be read.
    """
    with open_lines(path) as lines:
        found = [_read(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InputError(f"{path}: there is no pair in it")
    return found


def _read(line: bytes, place: str) -> AnswerPair:
    try:
        return AnswerPair.model_validate_json(line)
    except ValidationError as error:
        # The library's own message quotes the input, and no prompt must end in a log.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "line"
        raise InputError(f"{place}: {where}: {first['msg']}") from None


def distinct(pairs: Iterable[AnswerPair]) -> tuple[list[AnswerPair], list[AnswerPair]]:
    """Part pairs into those whose question none before has, and the others: the simulator knows them by it."""
    first: dict[str, AnswerPair] = {}
    repeated = [pair for pair in pairs if first.setdefault(pair.prompt, pair) is not pair]
    return [*first.values()], repeated


def script_of(pairs: Sequence[AnswerPair]) -> Iterator[dict[str, Any]]:
    """Yield the simulator's script: the first tier gives the answers of the pairs, all above it right ones."""
    for pair in pairs:
        entry = {"prompt": pair.prompt, "label": pair.right_from, "answer": pair.right_answer}
        if pair.is_good:
            yield {**entry, "finish": pair.finish_reason}
        else:
            yield {**entry, "failure": "wrong", "wrong": pair.answer, "wrong_finish": pair.finish_reason}
