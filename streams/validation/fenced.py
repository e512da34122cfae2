"""Texts of others in a prompt of ours: between tags, so that what they say is not taken for what we say."""

import re
from typing import Final

_TAGS: Final = (
    "given", "question", "steps", "tools", "schema", "answer", "answer_a", "answer_b", "finding",
    "earlier_answer",
)  # fmt: skip
_TAG: Final = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(_TAGS)})\b)", re.IGNORECASE)


def fenced(tag: str, text: str) -> str:
    """Put a text between tags; it can neither close them nor open another one of ours.

    Raises:
        ValueError: The tag is not known here, so that other texts could close it.
    """
    if tag not in _TAGS:
        raise ValueError(f"{tag!r} is not among the tags that are made harmless")
    harmless = _TAG.sub("<\u200b", text)
    return f"<{tag}>\n{harmless}\n</{tag}>"
