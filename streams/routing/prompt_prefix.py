"""What a prompt begins with: tools and instructions that a producer repeats, which a provider could cache."""

from hashlib import blake2b
from itertools import takewhile

from streams.config.tokens import rough
from topics.requests import Request

_INSTRUCTIONS = {"system", "developer"}
_HASH_BYTES = 8


def prompt_prefix(request: Request) -> tuple[str | None, int]:
    """Return a hash of the tools and of the instructions before anybody speaks, and their tokens by a rough estimate.

    The hash is 16 hex digits. None and 0 where there is neither. Providers put definitions of tools in front of the
    instructions (https://platform.claude.com/docs/en/build-with-claude/prompt-caching,
    https://platform.openai.com/docs/guides/prompt-caching).
    """
    instructions = takewhile(lambda message: message.role in _INSTRUCTIONS, request.messages)
    texts = [
        *(tool.function.model_dump_json() for tool in request.tools),
        *(message.text for message in instructions),
    ]
    if not texts:
        return None, 0
    text = "\n".join(texts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest(), rough(text)
