"""Requests by their texts, and calls of tools by theirs."""

from typing import Any

from topics.messages import FunctionCall, ToolCall
from topics.requests import Request


def asked(question: str, *, system: str = "", **fields: Any) -> Request:
    """A request with a message of the user, and one of the system before it where there is one."""
    return conversation(question, system=system, **fields)


def conversation(question: str, *steps: tuple[str, str, str], system: str = "", **fields: Any) -> Request:
    """A request whose question is followed by calls, each with its result: (function, arguments, result)."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    for number, (name, arguments, result) in enumerate(steps):
        call = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    return Request.model_validate({"request_id": "r", "messages": messages, **fields})


def called(*calls: str) -> tuple[ToolCall, ...]:
    """Calls of an answer, each as function and arguments with a space between."""
    split = (call.partition(" ") for call in calls)
    return tuple(
        ToolCall(id=f"a{number}", function=FunctionCall(name=name, arguments=arguments))
        for number, (name, _, arguments) in enumerate(split)
    )
