"""The APIs that the door speaks."""

from collections.abc import Mapping
from typing import Final

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.surface import Surface

SURFACES: Final[Mapping[str, Surface]] = {
    surface.name: surface for surface in (ChatCompletions(), Messages(), Responses())
}
"""By name."""
