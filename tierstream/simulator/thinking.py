"""What a model thinks before it answers, and how it knows its own thinking again.

Sources: https://platform.claude.com/docs/en/build-with-claude/thinking and
https://platform.claude.com/docs/en/build-with-claude/preserved-thinking.
"""

import base64
import hashlib
import hmac
import json
import random
from typing import Final

from tierstream.simulator.chat import ChatRequest, Thought, dumps, stable_hash
from tierstream.simulator.tokens import count_tokens

REDACTED: Final = "redacted"
"""What is signed where there is no text."""
_REDACTS: Final = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING"
"""The beginning of the text by which the API, too, is told to redact its thinking."""
_KEY: Final = b"not a secret: everybody may sign"
_THOUGHTS: Final = (
    "The question comes first: what exactly is asked, and what is known already.",
    "A tool may know what the messages do not say.",
    "So far nothing contradicts the obvious reading.",
    "The results that are there should be enough to go on with.",
    "I will check the order of the steps before I write anything.",
    "One detail is open, but it does not change the outcome.",
)


def sign(model: str, prompt_key: str, text: str) -> str:
    """The signature of a model under what it thought behind a prompt; it says which model and which prompt."""
    signed = f"{model}\x1f{prompt_key}\x1f{text}".encode("utf-8", "surrogatepass")
    code = hmac.digest(_KEY, signed, hashlib.sha256).hex()
    return base64.b64encode(dumps([model, prompt_key, code]).encode()).decode()


def signed_by(text: str, signature: str) -> tuple[str, str] | None:
    """Which model thought this, and the key of the prompt behind which it did; None where either was changed."""
    try:
        model, prompt_key, _ = map(str, json.loads(base64.b64decode(signature, validate=True)))
    except (ValueError, TypeError):
        return None
    return (model, prompt_key) if signature == sign(model, prompt_key, text) else None


def thought(request: ChatRequest) -> Thought | None:
    """What a model tells of its thinking about a request; it depends on nothing but the request."""
    if request.reasoning in {"none", "hidden"}:
        return None
    conversation, model = request.conversation, request.model
    # Not for secrets: the generator has to repeat itself.
    draw = random.Random(stable_hash("thought", model, conversation.prompt, str(len(conversation.results))))  # noqa: S311
    text = " ".join(draw.sample(_THOUGHTS, draw.randint(2, len(_THOUGHTS))))
    tokens = count_tokens(text)
    if request.reasoning == "shown":
        return Thought(text, tokens)
    if _REDACTS in conversation.prompt:
        return Thought("", tokens, sign(model, conversation.key, REDACTED), redacted=True)
    shown = "" if request.reasoning == "omitted" else text
    return Thought(shown, tokens, sign(model, conversation.key, shown))
