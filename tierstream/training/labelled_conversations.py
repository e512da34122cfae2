"""Files of labelled conversations: what somebody who read them says of their last message."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from streams.config.setting_types import Signal
from tierstream.training.labelled_lines import read_labelled_lines
from topics.messages import Message


class LabelledConversation(BaseModel):
    """A conversation and the signals of its last message.

    Attributes:
        id: Occurs once in a file.
        language: ISO 639-1, to sort figures by.
        messages: With at least two messages of the user.
        labels: The signals; none: the user just goes on.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    language: str = ""
    messages: tuple[Message, ...]
    labels: frozenset[Signal]

    @field_validator("messages")
    @classmethod
    def _goes_on(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if sum(message.role == "user" for message in messages) < 2:  # noqa: PLR2004 - a first one and a last one
            raise ValueError("must have two messages of the user")
        return messages

    @property
    def last(self) -> str:
        """The last message of the user."""
        return next(message.text for message in reversed(self.messages) if message.role == "user")


def read_conversations(path: Path) -> list[LabelledConversation]:
    """Read labelled conversations, JSON objects, one a line, plain or gzip.

    Raises:
        InputError: Naming line and field; or an id occurs twice, or there is no conversation.
        OSError: The file can't be read.
    """
    return read_labelled_lines([path], LabelledConversation, what="conversation")
