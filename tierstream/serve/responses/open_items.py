"""Items of a response while they are written: each says which events begin it, go on with it, and end it."""

from typing import Any, Final

from tierstream.serve.responses.reasoning import Thought
from tierstream.serve.responses.writing import call_item, message_item, reasoning_item, summary_text, text_content
from topics.messages import RedactedThinkingPart, ThinkingPart

Events = list[tuple[str, dict[str, Any]]]
"""Types and data of events, without what all of them have."""

_FIRST: Final = 0
"""Each item has one part."""


class OpenMessage:
    """A message of one text."""

    def __init__(self, item_id: str, index: int) -> None:
        self._id = item_id
        self._index = index
        self._texts: list[str] = []

    def start(self) -> Events:
        """Begin it."""
        item = message_item(self._id, "in_progress")
        return [
            ("response.output_item.added", {"output_index": self._index, "item": item}),
            ("response.content_part.added", {**self._place, "part": text_content("")}),
        ]

    def add(self, text: str) -> Events:
        """Go on with it."""
        self._texts.append(text)
        return [("response.output_text.delta", {**self._place, "delta": text, "logprobs": []})]

    def end(self, status: str) -> Events:
        """End it."""
        text = "".join(self._texts)
        return [
            ("response.output_text.done", {**self._place, "text": text, "logprobs": []}),
            ("response.content_part.done", {**self._place, "part": text_content(text)}),
            (
                "response.output_item.done",
                {"output_index": self._index, "item": message_item(self._id, status, text)},
            ),
        ]

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index, "content_index": _FIRST}


class OpenReasoning:
    """A thought, whose text is its summary."""

    def __init__(self, item_id: str, index: int) -> None:
        self._id = item_id
        self._index = index
        self._texts: list[str] = []

    def start(self) -> Events:
        """Begin it; the summary begins with its first text."""
        item = reasoning_item(self._id, "in_progress", ThinkingPart(type="thinking", thinking=""))
        return [("response.output_item.added", {"output_index": self._index, "item": item})]

    def add(self, text: str) -> Events:
        """Go on with it."""
        if not text:
            return []
        begin: Events = []
        if not self._texts:
            begin = [("response.reasoning_summary_part.added", {**self._place, "part": summary_text("")})]
        self._texts.append(text)
        return [*begin, ("response.reasoning_summary_text.delta", {**self._place, "delta": text})]

    def end(self, status: str, *, signature: str | None = None) -> Events:
        """End it, with the signature where it has one."""
        text = "".join(self._texts)
        done: Events = []
        if text:
            done = [
                ("response.reasoning_summary_text.done", {**self._place, "text": text}),
                ("response.reasoning_summary_part.done", {**self._place, "part": summary_text(text)}),
            ]
        return [*done, *self._end_with(ThinkingPart(type="thinking", thinking=text, signature=signature), status)]

    def end_redacted(self, data: str) -> Events:
        """End one that only its provider can read."""
        return self._end_with(RedactedThinkingPart(type="redacted_thinking", data=data), "completed")

    def _end_with(self, thought: Thought, status: str) -> Events:
        """Write the item as it is in the end."""
        item = reasoning_item(self._id, status, thought)
        return [("response.output_item.done", {"output_index": self._index, "item": item})]

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index, "summary_index": _FIRST}


class OpenCall:
    """A call."""

    def __init__(self, item_id: str, index: int, call_id: str, name: str) -> None:
        self._id = item_id
        self._index = index
        self._call_id = call_id
        self._name = name
        self._texts: list[str] = []

    def start(self) -> Events:
        """Begin it."""
        return [("response.output_item.added", {"output_index": self._index, "item": self._item("in_progress")})]

    def add(self, arguments: str) -> Events:
        """Go on with its arguments."""
        if not arguments:
            return []
        self._texts.append(arguments)
        return [("response.function_call_arguments.delta", {**self._place, "delta": arguments})]

    def end(self, status: str) -> Events:
        """End it."""
        arguments = {"name": self._name, "arguments": "".join(self._texts)}
        return [
            ("response.function_call_arguments.done", {**self._place, **arguments}),
            ("response.output_item.done", {"output_index": self._index, "item": self._item(status)}),
        ]

    def _item(self, status: str) -> dict[str, Any]:
        return call_item(self._id, status, self._call_id, self._name, "".join(self._texts))

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index}


OpenItem = OpenMessage | OpenReasoning | OpenCall
