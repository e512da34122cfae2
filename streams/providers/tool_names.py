"""Ids and names of tool calls as an API takes them, whoever made the calls: in an outgoing body, never in a record.

A conversation may have been led by models of several vendors, and what one gives as an id another refuses:

    OpenAI     ids of at most 40 characters, names of letters, digits, underscores and dashes
               https://github.com/openai/openai-openapi (`messages[].tool_calls[].id`: string_above_max_length)
    Anthropic  ids of letters, digits, underscores and dashes, each in one call only; names likewise
               https://platform.claude.com/docs/en/api/messages/create
"""

import re
from hashlib import sha256
from typing import Final

_DIGITS: Final = 32
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME: Final = 128


class CallIds:
    """Gives each call of a conversation an id that the API takes; the calls have to be named in their order.

    The same conversation has the same ids each time, or a provider's prompt cache would know none of it. An id that
    comes again in a later call, as of a server that counts from 0 in each answer, is another id from there on.

    Args:
        taken: What ids of the API look like, from start to end.
    """

    def __init__(self, taken: re.Pattern[str]) -> None:
        self._taken = taken
        self._uses: dict[str, int] = {}

    def of_call(self, call_id: str) -> str:
        """Return the id of the next call, which its model named so."""
        self._uses[call_id] = self._uses.get(call_id, 0) + 1
        return self.of_result(call_id)

    def of_result(self, call_id: str) -> str:
        """Return the id of the latest call that was named so."""
        use = self._uses.get(call_id, 1)
        if use == 1 and self._taken.fullmatch(call_id):
            return call_id
        return "call_" + sha256(f"{use} {call_id}".encode(errors="replace")).hexdigest()[:_DIGITS]


def function_name(name: str) -> str:
    """Return the name of a called function as APIs take it: models make names up, and history has them."""
    return _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME] or "_"
