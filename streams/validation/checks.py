"""Free checks: what can be seen of an answer without paying for a judge.

A new one is a function in a file of its own, or here if it is short, and a line in `CHECKS`.
"""

from typing import Final

from streams.validation.arithmetic import miscalculates
from streams.validation.broken_off import breaks_off
from streams.validation.finished import Fails, Finished
from streams.validation.given_text import says_what_the_text_does_not
from streams.validation.json_schema import is_off_schema
from streams.validation.languages import is_in_another_language
from streams.validation.loops import goes_round
from streams.validation.refusals import does_not_answer
from streams.validation.tool_calls import breaks_choice, breaks_parameters, calls_unknown_tool, repeats_call
from topics.messages import ToolCall
from topics.requests import Request


def has_no_text(answer: Finished) -> bool:
    """Whether there is nothing but space, and no call."""
    return not answer.text and not answer.tool_calls


def was_withheld(answer: Finished) -> bool:
    """Whether the provider held it back."""
    return answer.finish_reason == "content_filter"


def was_cut_off(answer: Finished) -> bool:
    """Whether the provider says that it was too long. Who sets a limit takes what comes of it."""
    return answer.finish_reason == "length" and answer.request.params.max_tokens is None


CHECKS: Final[dict[str, Fails]] = {
    "empty": has_no_text,
    "filtered": was_withheld,
    "truncated": was_cut_off,
    "tool_choice": breaks_choice,
    "unknown_tool": calls_unknown_tool,
    "tool_arguments": breaks_parameters,
    "repeated_call": repeats_call,
    "schema": is_off_schema,
    "hedge": does_not_answer,
    "broken_off": breaks_off,
    "loop": goes_round,
    "language": is_in_another_language,
    "arithmetic": miscalculates,
    "unsupported": says_what_the_text_does_not,
}
"""What tells that an answer fails, by the name that routes and hops have for it, in the order of trying."""


def failed_check(
    request: Request, content: str, finish_reason: str, tool_calls: tuple[ToolCall, ...] = ()
) -> str | None:
    """Name the first check that the answer fails; None if it passes all."""
    answer = Finished(request, content, finish_reason, tool_calls)
    return next((name for name, fails in CHECKS.items() if fails(answer)), None)
