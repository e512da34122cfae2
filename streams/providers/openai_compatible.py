"""Other providers that speak OpenAI's chat completions at a base URL of their own, such as Together."""

from typing import Any

from streams.providers.base import ChatCall
from streams.providers.chat_completions import write_request
from streams.providers.openai import OpenAIProvider


class OpenAICompatibleProvider(OpenAIProvider):
    """An API in OpenAI's older form, which all compatible servers know: `max_tokens`, and no developer role."""

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request."""
        return write_request(call, token_limit="max_tokens", developer_role="system")  # noqa: S106 - no password
