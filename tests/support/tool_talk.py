"""Conversations with tools: what is said in them, and steps of tool loops."""

from typing import Any

from topics.messages import FunctionCall, FunctionTool, Message, Tool, ToolCall
from topics.requests import Request

LOOKUP = Tool(
    type="function",
    function=FunctionTool(name="lookup", description="Find an order.", parameters={"type": "object"}),
)


def user(text: str = "Where is order 17?") -> Message:
    return Message(role="user", content=text)


def assistant(text: str = "It is on its way.") -> Message:
    return Message(role="assistant", content=text)


def call(call_id: str = "call_1", arguments: str = '{"order": 17}', name: str = "lookup") -> ToolCall:
    return ToolCall(id=call_id, function=FunctionCall(name=name, arguments=arguments))


def calls(*made: ToolCall, text: str | None = None) -> Message:
    return Message(role="assistant", content=text, tool_calls=made or (call(),))


def result(text: str = '{"state": "sent"}', call_id: str = "call_1") -> Message:
    return Message(role="tool", content=text, tool_call_id=call_id)


def talk(*messages: Message, request_id: str = "r1", **fields: Any) -> Request:
    return Request(request_id=request_id, messages=messages, **{"tools": (LOOKUP,)} | fields)
