"""OpenAI, through its SDK's chat completions.

Sources: https://platform.openai.com/docs/api-reference/chat/create and, for the sampling parameters,
https://developers.openai.com/api/docs/guides/deployment-checklist.
"""

from typing import Any, ClassVar, Final

import httpx2
from openai import APIStatusError, AsyncOpenAI, DefaultAioHttpClient, OpenAIError

from streams.providers.base import ChatCall, ChatReply
from streams.providers.chat_completions import StreamedCompletion, read_completion, write_request
from streams.providers.sdk_provider import Connection, SdkClient, SdkProvider

# Named, or the SDK would take it from the environment, past the settings that say who may see the text.
_BASE_URL: Final = "https://api.openai.com/v1"
_NOT_REASONING: Final = ("gpt-3", "gpt-4")


class OpenAIProvider(SdkProvider):
    """OpenAI's own API."""

    simulated_path: ClassVar = "/v1"
    path: ClassVar = "/chat/completions"
    response_type: ClassVar = httpx2.Response
    status_error_type: ClassVar = APIStatusError
    error_types: ClassVar = (OpenAIError, httpx2.HTTPError)
    streamed_answer: ClassVar = StreamedCompletion
    stream_fields: ClassVar = {"stream_options": {"include_usage": True}}

    def open_client(self, connection: Connection) -> SdkClient:
        """Make the SDK's client."""
        return AsyncOpenAI(
            api_key=connection.api_key,
            base_url=connection.base_url or _BASE_URL,
            max_retries=0,
            http_client=DefaultAioHttpClient(trust_env=connection.use_proxy),
        )

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
