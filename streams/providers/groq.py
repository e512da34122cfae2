"""Groq, through its SDK.

Source: https://console.groq.com/docs/api-reference#chat-create.
"""

from typing import Any, ClassVar

from streams.providers.base import ChatCall, ChatReply
from streams.providers.chat_completions import StreamedCompletion, read_completion, write_request
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Sdk


class GroqProvider(SdkProvider):
    """Groq's API; its base URL is the host, without the path `/openai/v1`."""

    vendor_url: ClassVar = "https://api.groq.com"
    path: ClassVar = "/openai/v1/chat/completions"
    streamed_answer: ClassVar = StreamedCompletion

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        import httpx  # noqa: PLC0415
        from groq import AsyncGroq, DefaultAioHttpClient  # noqa: PLC0415

        return Sdk(AsyncGroq, DefaultAioHttpClient, httpx)

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request."""
        return write_request(call, token_limit="max_completion_tokens")  # noqa: S106 - no password

    def read_reply(self, content: bytes, call: ChatCall) -> ChatReply:
        """Read a chat completion."""
        return read_completion(content, call)
