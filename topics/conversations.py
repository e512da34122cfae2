"""What is remembered of a conversation in a tool loop: which model it is with, so that it can stay there."""

import hashlib
from typing import Annotated, ClassVar, Final

from pydantic import Field

from topics.base import Record, Tier, Timestamp
from topics.journal import Usage
from topics.messages import ToolCall

KEY_BYTES: Final = 16


class Conversation(Record):
    """A model has answered with tool calls: who goes on from there is best served by the same model."""

    SCHEMA: ClassVar[str] = "conversation/1"

    key: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]
    """Of `conversation_key`."""
    provider: str
    model: str
    tier: Tier
    """On which it answered, which may be above the one that the request started on."""
    usage: Usage
    """Of the answer: what its provider has cached of the prompt by now is in it."""
    at: Timestamp
    """When the answer was there."""

    @property
    def partition_key(self) -> str:
        """The key: the request that goes on has another id than the one that was answered."""
        return self.key


def conversation_key(user_id: str | None, calls: tuple[ToolCall, ...]) -> str:
    """Name the answer that made these calls, by the last of them: that stands last however a client splits them up.

    Providers draw ids at random, and clients have to send them back unchanged beside the result. The user and the
    function keep those apart that few providers merely count.
    """
    last = calls[-1]
    named = "\x1f".join((user_id or "", last.id, last.function.name))
    return hashlib.blake2b(named.encode(), digest_size=KEY_BYTES).hexdigest()
