"""Tool loops: a model has calls made, is given their results and goes on, until it answers. Pure.

The messages of a loop are steps of one answer. What a request is about, how long it is and how its user feels is told
by what users, producers and models say to each other.
"""

from collections.abc import Sequence

from topics.messages import Message


def said(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages without the steps of tool loops: without results, and without answers that make calls.

    Where there is nothing else it is all of them, so that there is always something to read.
    """
    if not any(map(_is_step, messages)):
        return messages
    return [message for message in messages if not _is_step(message)] or messages


def is_open(messages: Sequence[Message]) -> bool:
    """Whether the model has made calls and not answered since.

    Who says something beside the results does not end the loop: agents put reminders there, and the model has yet to go
    on from what its calls brought.
    """
    latest = next((message for message in reversed(messages) if message.role in {"assistant", "tool"}), None)
    return latest is not None and _is_step(latest)


def latest_calls(messages: Sequence[Message]) -> int | None:
    """Return which message made the latest calls; None where no model made any."""
    return next((number for number in range(len(messages) - 1, -1, -1) if messages[number].tool_calls), None)


def _is_step(message: Message) -> bool:
    return message.role == "tool" or bool(message.tool_calls)
