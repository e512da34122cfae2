"""A turn of the assistant, put together from the blocks or items in which APIs give it."""

from tierstream.serve.surface import DoorError
from topics.messages import AnswerPart, Message, TextPart, ToolCall, ToolCallPlace


class AssistantTurn:
    """What the assistant says, thinks and calls before anybody else speaks, in its order."""

    def __init__(self) -> None:
        self._items: list[AnswerPart | ToolCall] = []
        self._calls: dict[str, ToolCall] = {}

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._items)

    def add(self, item: AnswerPart | ToolCall, path: str) -> None:
        """Take in what comes next, which stands at `path` in the body.

        Raises:
            DoorError: A call has the id of another one, so that their results could not be told apart.
        """
        if isinstance(item, ToolCall):
            if item.id in self._calls:
                raise DoorError(400, "invalid_request", "another call of the turn has the same id", param=path)
            self._calls[item.id] = item
        self._items.append(item)

    def message(self) -> Message:
        """Return it as a message; calls behind everything else need no place among the parts."""
        parts: list[AnswerPart] = []
        behind: list[AnswerPart] = []
        for item in self._items:
            if isinstance(item, ToolCall):
                behind.append(ToolCallPlace(type="tool_call", id=item.id))
            else:
                parts += [*behind, item]
                behind = []
        return Message(role="assistant", content=_content(parts), tool_calls=tuple(self._calls.values()) or None)


def _content(parts: list[AnswerPart]) -> str | tuple[AnswerPart, ...] | None:
    match parts:
        case []:
            return None
        case [TextPart(text=text, cache_control=None)]:
            return text
        case _:
            return tuple(parts)
