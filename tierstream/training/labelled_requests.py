"""Files of labelled requests: requests as a service sends them, each with what an expert says of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streams.routing.classifier import QueryType
from tierstream.training.labelled_lines import read_labelled_lines
from topics.requests import Request

Level = Literal[1, 2, 3]


class RequestLabel(BaseModel):
    """What an expert says of a request.

    Attributes:
        tier: The lowest tier that should serve it: 1 for open-weight, 2 for small closed, 3 for frontier models.
        acceptable: The tiers that are no mistake; default: that one.
        query_type: What is to be done.
        why: In some words.
        language: ISO 639-1, to sort figures by.
        subject: What it is about; of no use to a model.
        slice: Whose writing it is, to sort figures by.
        steered: Written so that its form misleads: the weights of the form are learned from the other requests.
        second: What an independent second labeller said: tier, acceptable tiers and query type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: Level
    acceptable: tuple[Level, ...] = ()
    query_type: QueryType
    why: str = ""
    language: str = ""
    subject: str = ""
    slice: str = ""
    steered: bool = False
    second: tuple[Level, tuple[Level, ...], QueryType] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.acceptable and self.tier not in self.acceptable:
            raise ValueError("acceptable must have the tier in it")
        return self

    @property
    def tiers(self) -> tuple[Level, ...]:
        """The acceptable tiers."""
        return self.acceptable or (self.tier,)


class LabelledRequest(Request):
    """A request and its label."""

    label: Annotated[RequestLabel, Field(exclude=True)]


def read_labelled(paths: Sequence[Path]) -> list[LabelledRequest]:
    """Read files of labelled requests, JSON objects, one a line, plain or gzip.

    Raises:
        InputError: Naming line and field; or a request_id occurs twice, or there is no request.
        OSError: A file can't be read.
    """
    return read_labelled_lines(paths, LabelledRequest, what="request", id_field="request_id")
