"""Files of requests with an answer each, good or bad, and the script by which the simulator gives these answers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tierstream.simulator.chat import ApiError
from tierstream.simulator.filler import schema_instance
from tierstream.training.labelled_answers import LabelledAnswer

_QUOTED_CHARACTERS: Final = 200
_MARKS: Final = str.maketrans("", "", '`"“”„«»<>{}[]()*_#|')


class AnswerPair(LabelledAnswer):
    """A labelled answer that the simulator can be made to give."""

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
