"""How many tokens a request has for Anthropic's models, by estimate."""

from typing import Final

from streams.config.prompt_size import size_of
from streams.config.tokens import Tokenizer, estimate
from topics.requests import Request

_AROUND_A_MESSAGE: Final = 4
"""What tells turns apart."""


def input_tokens(request: Request) -> int:
    """Estimate the tokens of all that a model reads, rather too high than too low."""
    size = size_of(request.messages, request.tools, request.answer_schema)
    written = sum(estimate(text, Tokenizer.CLAUDE) for text in size.texts)
    return written + size.other_tokens + _AROUND_A_MESSAGE * len(request.messages)
