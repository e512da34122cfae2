"""Which tools a model calls, with which arguments, and what is wrong with its calls."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tierstream.simulator.behaviour import Fault
from tierstream.simulator.chat import ApiError, ChatRequest, Tool, ToolCall, dumps
from tierstream.simulator.json_instances import instance_of

_PLAN: Final = re.compile(r"\bagent: (\d{1,4}) steps?\b(?:,? (\d{1,2}) at a time)?( aloud)?")


def wanted_calls(request: ChatRequest) -> tuple[ToolCall, ...]:
    """The calls that a model makes now; none where it answers with a text.

    A plan in the question, such as `agent: 20 steps 2 at a time`, has it call the tools on offer in turn until as many
    results are there since the question. Without one it calls the tools whose names are in the question, once. Where a
    call is required there is at least one.
    """
    box, conversation = request.toolbox, request.conversation
    if not box.tools or box.choice == "none":
        return ()
    offered = [tool for tool in box.tools if box.named in {None, tool.name}]
    done = len(conversation.results)
    plan = _PLAN.search(conversation.prompt)
    if plan:
        count = min(int(plan[1]) - done, int(plan[2] or 1))
    else:
        named = [tool for tool in offered if _names(conversation.prompt, tool.name)]
        offered = named or offered
        count = 0 if done else len(named)
    count = max(count, 1 if box.choice == "required" else 0)
    steps = range(done, done + (count if box.parallel else min(count, 1)))
    return tuple(_call(offered[step % len(offered)], step) for step in steps)


def said_before(request: ChatRequest) -> str:
    """What a model says before its calls: nothing, unless the plan in the question ends with `aloud`."""
    plan = _PLAN.search(request.conversation.prompt)
    return f"I go on with step {len(request.conversation.results) + 1}." if plan and plan[3] else ""


def _names(prompt: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", prompt) is not None


def _call(tool: Tool, step: int) -> ToolCall:
    try:
        return ToolCall(tool.name, dumps(arguments_for(tool.schema, step)))
    except (TypeError, AttributeError) as error:
        raise ApiError(400, f"The JSON schema of the tool {tool.name} is malformed: {error}", param="tools") from error


def arguments_for(schema: Mapping[str, Any], step: int) -> object:
    """Arguments that satisfy the schema of a tool; each step has others, where the schema leaves a choice.

    They are what is required, or all properties where nothing is.
    """
    properties = schema.get("properties")
    if not schema.get("required") and isinstance(properties, dict) and properties:
        schema = {**schema, "required": list(properties)}
    return instance_of(schema, step)


def report(results: Iterable[str]) -> str:
    """The answer after results of tools: how many there are, and a digest that follows from all of them in order."""
    texts = list(results)
    digest = hashlib.blake2b(dumps(texts).encode(), digest_size=8).hexdigest()
    return f"The tools gave {len(texts)} result{'' if len(texts) == 1 else 's'}, with the digest {digest}."


def spoiled(calls: tuple[ToolCall, ...], fault: Fault | None, request: ChatRequest) -> tuple[ToolCall, ...]:
    """The calls with what is wrong with the first of them; without a fault, or without calls, as they are."""
    if not calls:
        return calls
    first = calls[0]
    match fault:
        case Fault.BAD_ARGUMENTS:
            first = ToolCall(first.name, first.arguments[: -(-len(first.arguments) // 2)])
        case Fault.OFF_SCHEMA:
            schema = next(tool.schema for tool in request.toolbox.tools if tool.name == first.name)
            first = ToolCall(first.name, dumps(off_schema(schema, instance_of(schema))))
        case Fault.UNKNOWN_TOOL:
            first = ToolCall(f"{first.name[:50]}_of_old", first.arguments)
        case Fault.REPEATED_CALL if request.conversation.last_call is not None:
            last = request.conversation.last_call
            first = ToolCall(last.name, last.arguments)
        case _:
            return calls
    return (first, *calls[1:])


def off_schema(schema: Mapping[str, Any], arguments: object) -> object:
    """Arguments that break the schema of a tool: one too few, else one of another type, else one too many.

    Where a schema takes any object, nothing breaks it.
    """
    given = dict(arguments) if isinstance(arguments, dict) else {}
    if given:
        return dict(list(given.items())[1:])
    properties = schema.get("properties")
    parts = properties.items() if isinstance(properties, dict) else ()
    typed = ((name, part["type"]) for name, part in parts if isinstance(part, dict) and "type" in part)
    name, kind = next(typed, ("unexpected", "object"))
    return {name: "text" if kind == "object" else {}}
