"""OpenAI, through its SDK's chat completions.

Sources: https://platform.openai.com/docs/api-reference/chat/create and, for the sampling parameters,
https://developers.openai.com/api/docs/guides/deployment-checklist.
"""

from typing import Any, ClassVar, Final

from streams.providers.base import ChatCall, ChatReply
from streams.providers.chat_completions import StreamedCompletion, read_completion, write_request
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Sdk

_NOT_REASONING: Final = ("gpt-3", "gpt-4")


class OpenAIProvider(SdkProvider):
    """OpenAI's own API."""

    simulated_path: ClassVar = "/v1"
    vendor_url: ClassVar = "https://api.openai.com/v1"
    path: ClassVar = "/chat/completions"
    streamed_answer: ClassVar = StreamedCompletion
    stream_fields: ClassVar = {"stream_options": {"include_usage": True}}

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        import httpx2  # noqa: PLC0415
        from openai import AsyncOpenAI, DefaultAioHttpClient  # noqa: PLC0415

        return Sdk(AsyncOpenAI, DefaultAioHttpClient, httpx2)

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request.

        A model that reasons refuses temperature and top_p, whatever their values; its answer without them is
        better than none.
        """
        sampling = call.model.model.startswith(_NOT_REASONING) or call.model.extra.get("reasoning_effort") == "none"
        return write_request(call, token_limit="max_completion_tokens", sampling=sampling)  # noqa: S106 - no password

    def read_reply(self, content: bytes, call: ChatCall) -> ChatReply:
        """Read a chat completion."""
        return read_completion(content, call)
