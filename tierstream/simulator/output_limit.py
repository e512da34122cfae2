"""What of an answer there is room for, and the tokens that it has."""

import math
from dataclasses import dataclass, replace
from typing import Final

from tierstream.simulator.chat import Answer, Thought, ToolCall
from tierstream.simulator.tokens import MESSAGE_OVERHEAD, count_tokens, first_tokens

_MOST_THINKING: Final = 0.5
"""Of a limit. A thought that needs more is left out: it is signed as a whole, so it can't be cut."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is sent, with its tokens: those that can be seen, and those of reasoning."""

    answer: Answer
    thought: Thought | None
    visible: int
    reasoning: int


def fitted(answer: Answer, thought: Thought | None, hidden_share: float, limit: int) -> Fitted:
    """An answer cut to a limit of output tokens.

    Args:
        answer: The whole of it.
        thought: What the model tells of its reasoning.
        hidden_share: Where it tells nothing, the share of its output that is reasoning.
        limit: The most tokens of both.
    """
    visible = count_tokens(answer.text) + sum(map(_call_tokens, answer.calls))
    if thought and thought.tokens > limit * _MOST_THINKING:
        thought = None
    reasoning = thought.tokens if thought else round(visible * hidden_share / (1 - hidden_share))
    if visible + reasoning > limit:
        reasoning = reasoning if thought else min(reasoning, math.floor(limit * hidden_share))
        visible = limit - reasoning
        answer = _cut(answer, visible)
    return Fitted(answer, thought, visible, reasoning)


def _call_tokens(call: ToolCall) -> int:
    return count_tokens(call.name) + count_tokens(call.arguments) + MESSAGE_OVERHEAD


def _cut(answer: Answer, room: int) -> Answer:
    text = first_tokens(answer.text, room)
    room -= count_tokens(text)
    calls: list[ToolCall] = []
    for call in answer.calls:
        room -= _call_tokens(call)
        if room < 0:
            begun = room + count_tokens(call.arguments)
            calls += [replace(call, arguments=first_tokens(call.arguments, begun))] if begun > 0 else []
            break
        calls.append(call)
    return Answer(text, "length", tuple(calls))
