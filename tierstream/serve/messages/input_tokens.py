"""How many tokens a request has for Anthropic's models, by estimate."""

from typing import Final

from streams.config.tokens import Tokenizer, estimate
from topics.messages import FilePart, ImagePart, Message
from topics.requests import Request

_AROUND_A_MESSAGE: Final = 4
"""What tells turns apart."""
_IMAGE: Final = 1_600
"""What an image takes that is as large as the vendor takes it.

Source: https://platform.claude.com/docs/en/build-with-claude/vision#evaluate-image-size.
"""
_PDF_PAGE: Final = 3_000
"""What a page of a PDF takes at most; a file is taken for one page in each 50 kB.

Source: https://platform.claude.com/docs/en/build-with-claude/pdf-support#estimate-your-costs.
"""
_PAGE_BYTES: Final = 50_000


def input_tokens(request: Request) -> int:
    """Estimate the tokens of all that a model reads, rather too high than too low."""
    texts = [text for message in request.messages for text in message.texts()]
    texts += [tool.model_dump_json() for tool in request.tools]
    written = sum(estimate(text, Tokenizer.CLAUDE) for text in texts)
    return written + sum(_AROUND_A_MESSAGE + _looked_at(message) for message in request.messages)


def _looked_at(message: Message) -> int:
    images = sum(isinstance(part, ImagePart) for part in message.parts)
    files = [part.file.file_data or "" for part in message.parts if isinstance(part, FilePart)]
    return images * _IMAGE + sum(_PDF_PAGE * (1 + len(data) // _PAGE_BYTES) for data in files)
