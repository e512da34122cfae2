"""Thinking in the items of responses: of these, clients bring `encrypted_content` alone back as it went out.

Nothing is encrypted in it: who may read the answer may read that too.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from pydantic import TypeAdapter, ValidationError

from topics.messages import RedactedThinkingPart, ThinkingPart

Thought = ThinkingPart | RedactedThinkingPart

_OURS: Final = "tierstream.1."
_THOUGHTS: Final[TypeAdapter[Thought]] = TypeAdapter(Thought)


def sealed(thought: Thought) -> str | None:
    """Return a thought as an `encrypted_content`; None where its text is all of it."""
    if isinstance(thought, ThinkingPart) and thought.signature is None:
        return None
    return _OURS + urlsafe_b64encode(thought.model_dump_json().encode()).decode()


def unsealed(encrypted_content: str | None) -> Thought | None:
    """Return the thought in an `encrypted_content`; None where that is another vendor's, or damaged."""
    if encrypted_content is None or not encrypted_content.startswith(_OURS):
        return None
    try:
        return _THOUGHTS.validate_json(urlsafe_b64decode(encrypted_content.removeprefix(_OURS)))
    except (ValueError, ValidationError):
        return None
