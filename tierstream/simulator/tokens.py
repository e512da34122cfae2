"""A deterministic approximation of token counts, so that usage follows from the text alone.

Real tokenizers differ by vendor and need vocabularies to be downloaded. For English prose this one
is within about a tenth of them, which is enough for bills that only have to agree with each other.
"""

import re
from itertools import islice
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z]{1,8}|\d{1,3}|[^\sA-Za-z\d]{1,2}")

MESSAGE_OVERHEAD: Final = 4
"""Tokens that a chat format adds to each message for its role and its ends."""

REPLY_PRIMING: Final = 3
"""Tokens that a chat format adds once, to open the reply."""


def count_tokens(text: str) -> int:
    """The number of tokens in the text."""
    return len(_TOKEN.findall(text))


def first_tokens(text: str, limit: int) -> str:
    """The text up to the end of token number `limit`; the whole text when it has no more."""
    if limit <= 0:
        return ""
    last = next(islice(_TOKEN.finditer(text), limit - 1, None), None)
    return text if last is None else text[: last.end()]


def split_tokens(text: str) -> list[str]:
    """The tokens with the space before them, and after the last one: together they are the text."""
    ends = [match.end() for match in _TOKEN.finditer(text)]
    if not ends:
        return [text] if text else []
    ends[-1] = len(text)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
