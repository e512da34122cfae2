"""Groq, through its SDK.

Sources: https://console.groq.com/docs/api-reference#chat-create and https://console.groq.com/docs/reasoning.
"""

from typing import Any, ClassVar, Final

from streams.config.model_catalogue import KnownModel
from streams.providers.base import ChatCall
from streams.providers.chat_completions import ChatCompletion
from streams.providers.chat_requests import Dialect, write_request
from streams.providers.openai_batches import GroqBatches
from streams.providers.reasoning import effort
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Sdk

_DIALECT: Final = Dialect(
    "max_completion_tokens",
    takes_files=False,
    service_tiers=frozenset({"auto", "on_demand", "flex", "performance"}),
)
_UNKNOWN: Final = KnownModel(reasoning={"reasoning_effort": ("none", "low", "medium", "high")})
"""The API has no other words."""


class GroqProvider(SdkProvider):
    """Groq's API; its base URL is the host, without the path `/openai/v1`."""

    vendor_url: ClassVar = "https://api.groq.com"
    path: ClassVar = "/openai/v1/chat/completions"
    arriving: ClassVar = ChatCompletion
    batches_type: ClassVar = GroqBatches

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        # The resources too, or its client would import them on the event loop.
        import groq.resources  # noqa: PLC0415
        import httpx  # noqa: PLC0415

        return Sdk(groq.AsyncGroq, groq.DefaultAioHttpClient, httpx, groq.APIStatusError)

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request; logprobs are supported by none of its models."""
        level = effort(call, self._known, "reasoning_effort", unknown=_UNKNOWN)
        return write_request(call, _DIALECT, reasoning_effort=level, tells_logprobs=False)
