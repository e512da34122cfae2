"""The protocols that a provider may speak: a line here and a file in `streams/providers` for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Protocol:
    """How settings use a protocol.

    Attributes:
        spoken_by: Module and class below `streams.providers`; its vendor's SDK is not imported before it is used.
        needs_base_url: Whether it is many vendors' protocol, so that the address has to be set.
        has_batches: Whether its vendor takes batches, and they are spoken here.
    """

    spoken_by: str
    needs_base_url: bool = False
    has_batches: bool = False


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "groq": Protocol("groq.GroqProvider", has_batches=True),
    "openai": Protocol("openai.OpenAIProvider", has_batches=True),
    "anthropic": Protocol("anthropic.AnthropicProvider", has_batches=True),
    "openai_compatible": Protocol("openai_compatible.OpenAICompatibleProvider", needs_base_url=True),
}
