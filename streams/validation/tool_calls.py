"""Calls that can't be made, that are not what was asked for, or that lead nowhere."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Final

from pydantic_core import from_json

from streams.validation.finished import Finished
from streams.validation.json_schema import matches_parameters
from topics.messages import Message, NamedTool, ToolCall

_TIMES: Final = 3
"""The same call with the same result, with nothing new tried in between."""

_Call = tuple[str, str]
"""Name and arguments, by which calls are the same."""


def breaks_choice(answer: Finished) -> bool:
    """Whether it calls though it must not, or does not call what it has to."""
    names = [call.function.name for call in answer.tool_calls]
    match answer.request.tool_choice:
        case "none":
            return bool(names)
        case "required":
            return not names
        case NamedTool(function=function):
            return {*names} != {function.name}
        case _:
            return False


def calls_unknown_tool(answer: Finished) -> bool:
    """Whether it calls what was not offered."""
    offered = {tool.function.name for tool in answer.request.tools}
    return any(call.function.name not in offered for call in answer.tool_calls)


def breaks_parameters(answer: Finished) -> bool:
    """Whether the arguments of a call are no JSON, or not what its tool takes."""
    if not answer.tool_calls:
        return False
    parameters = {tool.function.name: tool.function.parameters for tool in answer.request.tools}
    return any(
        not matches_parameters(call.function.arguments, parameters[call.function.name])
        for call in answer.tool_calls
        if call.function.name in parameters
    )


def repeats_call(answer: Finished) -> bool:
    """Whether a call stands there twice, or is made a third time although nothing has changed.

    Running the same test after each edit is no loop, nor is asking how far something is while the answer changes: there
    is something new in between, another call or another result.
    """
    if not answer.tool_calls:
        return False
    calls = [_same(call) for call in answer.tool_calls]
    if len({*calls}) < len(calls):
        return True
    before = _since_something_new(_open_loop(answer.request.messages))
    return any(before[call] >= _TIMES - 1 for call in calls)


def _open_loop(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return what was said since a user spoke last."""
    last = max((n for n, message in enumerate(messages) if message.role == "user"), default=-1)
    return messages[last + 1 :]


def _since_something_new(loop: Iterable[Message]) -> Counter[_Call]:
    """Count the calls since the last that was new, or had another result than before; that one counts too."""
    calls: dict[str, _Call] = {}
    results: dict[_Call, object] = {}
    count: Counter[_Call] = Counter()
    for message in loop:
        calls |= {call.id: _same(call) for call in message.calls}
        made = calls.get(message.tool_call_id or "")
        if made is None:
            continue
        if results.get(made) != message.content:
            results[made] = message.content
            count.clear()
        count[made] += 1
    return count


def _same(call: ToolCall) -> _Call:
    """Return what calls have in common that differ in nothing but how their arguments are written."""
    arguments = call.function.arguments
    try:
        return call.function.name, json.dumps(from_json(arguments.encode("utf-8", "surrogatepass")), sort_keys=True)
    except ValueError:
        return call.function.name, arguments
