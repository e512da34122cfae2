"""What a request needs of a model besides understanding text, and which of its fields say so."""

from collections.abc import Iterator

from streams.config.setting_types import Capability
from topics.messages import FilePart, ImagePart, Message, is_data_url
from topics.requests import Request


def needs(request: Request) -> dict[Capability, str]:
    """Return what a model has to take to serve a request, each with the first field that asks for it.

    Tools count in the history too: a model that knows none can't read calls and results either.
    """
    found: dict[Capability, str] = {}
    if request.tools:
        found[Capability.TOOLS] = "tools"
    for number, message in enumerate(request.messages):
        # Most are of text alone, and each request is looked at for each tier and chain.
        if message.tool_calls is None and message.role != "tool" and isinstance(message.content, str):
            continue
        for capability, field in _needs_of(message):
            found.setdefault(capability, f"messages.{number}{field}")
    if request.params.logprobs:
        found[Capability.LOGPROBS] = "params.logprobs"
    return found


def _needs_of(message: Message) -> Iterator[tuple[Capability, str]]:
    if message.tool_calls:
        yield Capability.TOOLS, ".tool_calls"
    if message.role == "tool":
        yield Capability.TOOLS, ""
    for number, part in enumerate(message.parts):
        match part:
            case ImagePart():
                yield Capability.IMAGES, f".content.{number}"
            case FilePart(file=file):
                is_held = file.file_url is None or is_data_url(file.file_url)
                yield Capability.FILES if is_held else Capability.FILE_URLS, f".content.{number}"
