"""What a prompt begins with: instructions that a producer repeats, which a provider could cache."""

from hashlib import blake2b
from itertools import takewhile

from streams.config.tokens import rough
from topics.requests import Request

_INSTRUCTIONS = {"system", "developer"}
_HASH_BYTES = 8


def prompt_prefix(request: Request) -> tuple[str | None, int]:
    """Return a hash of the instructions before anybody speaks, as 16 hex digits, and their tokens by a rough estimate.

    None and 0 where there are none.
    """
    texts = [message.text for message in takewhile(lambda message: message.role in _INSTRUCTIONS, request.messages)]
    if not texts:
        return None, 0
    text = "\n".join(texts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest(), rough(text)
