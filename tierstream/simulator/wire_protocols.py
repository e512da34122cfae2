"""The wire protocols that the simulator speaks, by the names that its configuration has for them: a line for each."""

from collections.abc import Callable, Mapping
from typing import Final

from tierstream.simulator.anthropic_protocol import AnthropicProtocol
from tierstream.simulator.chat import WireProtocol
from tierstream.simulator.openai_protocol import OpenAIProtocol

WIRE_PROTOCOLS: Final[Mapping[str, Callable[[], WireProtocol]]] = {
    "groq": lambda: OpenAIProtocol(groq=True),
    "openai": OpenAIProtocol,
    "anthropic": AnthropicProtocol,
}
