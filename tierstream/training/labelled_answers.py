"""Files of answers with what an expert says of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tierstream.simulator.chat import Finish
from tierstream.training.labelled_lines import read_labelled_lines
from topics.requests import Request

GOOD: Final = "good"
"""The kind of the answers that nothing is wrong with."""


def _with_an_id(fields: object) -> object:
    return {"request_id": "labelled", **fields} if isinstance(fields, Mapping) else fields


class LabelledAnswer(BaseModel):
    """A request, an answer to it, and what is wrong with that.

    Attributes:
        id: Names it in its file.
        kind: What is wrong with the answer; "good" where nothing is.
        language: ISO 639-1 of the request, to sort figures by.
        request: As a service sends it; its request_id may be left out.
        answer: The text.
        finish_reason: As the provider reported it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]
    language: str = ""
    request: Annotated[Request, BeforeValidator(_with_an_id)]
    answer: str
    finish_reason: Finish = "stop"

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with the answer."""
        return self.kind == GOOD


A = TypeVar("A", bound=LabelledAnswer)


def read_answers(path: Path, as_type: type[A]) -> list[A]:
    """Read a file of labelled answers, JSON objects, one a line, plain or gzip.

    Raises:
        InputError: Naming line and field; or an id occurs twice, or there is no answer.
        OSError: The file can't be read.
    """
    return read_labelled_lines([path], as_type, what="answer")
