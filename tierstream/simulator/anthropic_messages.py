"""Reads the messages and tools of a request to the messages API, and refuses what the API refuses.

Sources, below https://platform.claude.com/docs/en/: `api/messages` for the shapes,
`agents-and-tools/tool-use/handle-tool-calls` for calls and their results, `build-with-claude/thinking` and
`build-with-claude/thinking-tool-workflows` for what has to come back of a model's thinking,
`build-with-claude/prompt-caching` for `cache_control`, and `build-with-claude/vision` and
`build-with-claude/pdf-support` for images and documents.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, cast, get_args

from tierstream.simulator.anthropic_blocks import BlockReader, invalid
from tierstream.simulator.chat import Conversation, ThinkingType, Tool, Toolbox
from tierstream.simulator.conversation import (
    Segment,
    Turn,
    cache_points,
    content_parts,
    conversation_of,
    joined,
    listed_messages,
)
from tierstream.simulator.tokens import MESSAGE_OVERHEAD, count_tokens

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TTL_S: Final = {"5m": 300.0, "1h": 3600.0}
_MOST_BREAKPOINTS: Final = 4
_CHOICES: Final[Mapping[str, Literal["auto", "required", "none"]]] = {
    "auto": "auto",
    "any": "required",
    "tool": "required",
    "none": "none",
}
_THINKING: Final = frozenset({"thinking", "redacted_thinking"})
_LEAST_BUDGET: Final = 1024

Blocks = list[dict[str, Any]]


def read_conversation(body: Mapping[str, Any], model: str, toolbox: Toolbox) -> Conversation:
    """The system prompt and the messages of a request body.

    Args:
        body: It.
        model: Whose signatures its thinking has to have.
        toolbox: The tools on offer.

    Raises:
        ApiError: The API refuses them.
    """
    messages = listed_messages(body.get("messages"), "messages: at least one message is required")
    system = content_parts(body.get("system"), "system")
    contents = [content_parts(m.get("content"), f"messages.{index}.content") for index, m in enumerate(messages)]
    reader = BlockReader(model)
    keys = _prompt_keys(body, system, contents)
    blocks = [
        reader.read_all(content, m["role"], f"messages.{index}.content", keys[index])
        for index, (m, content) in enumerate(zip(messages, contents, strict=True))
    ]
    turns = [joined(m["role"], of) for m, of in zip(messages, blocks, strict=True)]
    if any(turn.calls or turn.results for turn in turns):
        _check_pairs(turns, contents)
        _check_thinking(body.get("thinking"), turns, contents)
    prompt = "".join(str(part.get("text", "")) for part in system if part.get("type") == "text")
    points = cache_points(_marked_segments(body, system, contents, blocks))
    conversation = conversation_of(turns, toolbox=toolbox, system=prompt, points=points)
    return replace(conversation, key=keys[-1], misplaced=reader.misplaced) if keys[-1] else conversation


def _prompt_keys(body: Mapping[str, Any], system: Blocks, contents: list[Blocks]) -> list[str]:
    """A hash of what is before each message, and of all; empty where nobody thinks, as in most requests.

    Source: https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks.
    """
    thought = any(block.get("type") in _THINKING for content in contents for block in content)
    if not thought and body.get("thinking") is None:
        return [""] * (len(contents) + 1)
    digest = hashlib.blake2b(digest_size=16)
    for part in [*(body.get("tools") or []), *system]:
        digest.update(_without_mark(part).encode())
    keys = [digest.hexdigest()]
    for content in contents:
        for block in content:
            digest.update(_without_mark(block).encode())
        keys.append(digest.hexdigest())
    return keys


def _without_mark(part: Mapping[str, Any]) -> str:
    """What a block says, however it is written: marks of the cache do not count, nor does the order of keys."""
    return json.dumps({key: value for key, value in part.items() if key != "cache_control"}, sort_keys=True)


def _check_pairs(turns: list[Turn], contents: list[Blocks]) -> None:
    """Each call has its result in the next message, before anything else in it, and each result its call.

    Messages of one role that follow each other are one, as the API has it.
    """
    waiting: dict[str, int] = {}
    seen: set[str] = set()
    for index, (turn, content) in enumerate(zip(turns, contents, strict=True)):
        if turn.role == "assistant":
            for call in turn.calls:
                if call.call_id in seen:
                    raise invalid("messages: `tool_use` ids must be unique")
                seen.add(call.call_id)
                waiting[call.call_id] = index
            continue
        for place, block in enumerate(content):
            if block["type"] != "tool_result":
                _check_answered(waiting)
            elif waiting.pop(block["tool_use_id"], None) is None:
                raise invalid(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks:"
                    f" {block['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use` block in"
                    " the previous message."
                )
        if index + 1 == len(turns) or turns[index + 1].role != turn.role:
            _check_answered(waiting)
    _check_answered(waiting)


def _check_answered(waiting: Mapping[str, int]) -> None:
    if waiting:
        raise invalid(
            f"messages.{min(waiting.values())}: `tool_use` ids were found without `tool_result` blocks immediately"
            f" after: {', '.join(waiting)}. Each `tool_use` block must have a corresponding `tool_result` block in the"
            " next message."
        )


def _check_thinking(thinking: object, turns: list[Turn], contents: list[Blocks]) -> None:
    """A model with a budget for thinking thinks first, before it calls a tool; an adaptive one may not have thought."""
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled" or not turns[-1].results:
        return
    last = max(index for index, turn in enumerate(turns) if turn.role == "assistant")
    found = contents[last][0]["type"]
    if found not in _THINKING:
        raise invalid(
            f"messages.{last}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When"
            " `thinking` is enabled, a final `assistant` message must start with a thinking block (preceding the"
            " lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _marked_segments(
    body: Mapping[str, Any], system: Blocks, contents: list[Blocks], blocks: list[list[Turn]]
) -> list[Segment]:
    """The prompt block by block, in the order in which it is cached; nothing where the client marks no block."""
    tools: Blocks = body.get("tools") or []
    parts = [*tools, *system, *(block for content in contents for block in content)]
    marks = [_ttl_s(part) for part in parts]
    if body.get("cache_control") is not None:
        marks[-1] = marks[-1] or _ttl_s(body)
    marked = sum(mark is not None for mark in marks)
    if marked > _MOST_BREAKPOINTS:
        raise invalid(f"A maximum of {_MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {marked}.")
    if not marked:
        return []
    tokens = [
        *(count_tokens(json.dumps(tool)) + MESSAGE_OVERHEAD for tool in tools),
        *(count_tokens(str(block.get("text", ""))) for block in system),
        *(turn.tokens for turns in blocks for turn in turns),
    ]
    return [Segment(_without_mark(part), n, mark) for part, n, mark in zip(parts, tokens, marks, strict=True)]


def _ttl_s(part: Mapping[str, Any]) -> float | None:
    control = part.get("cache_control")
    if control is None:
        return None
    ephemeral = isinstance(control, dict) and control.get("type") == "ephemeral"
    ttl = str(control.get("ttl") or "5m") if ephemeral else ""
    if ttl not in _TTL_S:
        raise invalid("cache_control: expected the type 'ephemeral', with a ttl of '5m' or '1h'")
    return _TTL_S[ttl]


def read_toolbox(body: Mapping[str, Any]) -> Toolbox:
    """The tools of a request body and how they are to be used.

    Raises:
        ApiError: The API refuses them, or one is of a type that is not simulated.
    """
    listed = body.get("tools") or []
    if not isinstance(listed, list):
        raise invalid("tools: Input should be a valid list")
    tools = tuple(_tool(tool, f"tools.{number}") for number, tool in enumerate(listed))
    names = {tool.name for tool in tools}
    if len(names) < len(tools):
        raise invalid("tools: Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is None:
        return Toolbox(tools)
    kind = str(choice.get("type")) if isinstance(choice, dict) else ""
    if kind not in _CHOICES:
        raise invalid("tool_choice: expected the type auto, any, tool or none")
    if not tools and kind != "none":
        raise invalid("tool_choice: tool_choice may only be specified while providing tools.")
    named = str(choice.get("name")) if kind == "tool" else None
    if named is not None and named not in names:
        raise invalid(f"tool_choice: Tool '{named}' not found in provided tools")
    return Toolbox(tools, _CHOICES[kind], named, parallel=not choice.get("disable_parallel_tool_use"))


def _tool(tool: object, where: str) -> Tool:
    if not isinstance(tool, dict) or tool.get("type") not in ("custom", None):
        raise invalid(f"{where}: expected a tool of type 'custom'; others are not simulated")
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(f"{where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"{where}.custom.input_schema.type: Input should be 'object'")
    return Tool(name, schema, count_tokens(json.dumps(tool)) + MESSAGE_OVERHEAD)


def read_thinking(body: Mapping[str, Any], toolbox: Toolbox) -> ThinkingType | None:
    """How a request body configures thinking; None: not at all.

    Raises:
        ApiError: The API refuses the configuration.
    """
    thinking = body.get("thinking")
    if thinking is None:
        return None
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in get_args(ThinkingType):
        raise invalid(f"thinking: expected the type {', '.join(get_args(ThinkingType))}")
    if kind == "enabled":
        budget, limit = thinking.get("budget_tokens"), body.get("max_tokens")
        if not isinstance(budget, int) or budget < _LEAST_BUDGET:
            raise invalid(f"thinking.enabled.budget_tokens: Input should be at least {_LEAST_BUDGET}")
        if isinstance(limit, int) and limit <= budget:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if toolbox.choice == "required":
            raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    return cast("ThinkingType", kind)
