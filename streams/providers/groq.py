"""Groq, through its SDK.

Source: https://console.groq.com/docs/api-reference#chat-create.
"""

from typing import Any, ClassVar, Final

from streams.providers.base import ChatCall, ChatReply
from streams.providers.chat_completions import StreamedCompletion, read_completion, write_request
from streams.providers.sdk_provider import Connection, Sdk, SdkClient, SdkProvider

# Named, or the SDK would take it from the environment, past the settings that say who may see the text.
_BASE_URL: Final = "https://api.groq.com"


class GroqProvider(SdkProvider):
    """Groq's API; its base URL is the host, without the path `/openai/v1`."""

    path: ClassVar = "/openai/v1/chat/completions"
    streamed_answer: ClassVar = StreamedCompletion

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        import httpx  # noqa: PLC0415
        from groq import APIStatusError, AsyncGroq, DefaultAioHttpClient, GroqError  # noqa: PLC0415

        def open_client(connection: Connection) -> SdkClient:
            return AsyncGroq(
                api_key=connection.api_key,
                base_url=connection.base_url or _BASE_URL,
                max_retries=0,
                http_client=DefaultAioHttpClient(trust_env=connection.use_proxy),
            )

        return Sdk(open_client, httpx.Response, APIStatusError, (GroqError, httpx.HTTPError))

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request."""
        return write_request(call, token_limit="max_completion_tokens")  # noqa: S106 - no password

    def read_reply(self, content: bytes, call: ChatCall) -> ChatReply:
        """Read a chat completion."""
        return read_completion(content, call)
