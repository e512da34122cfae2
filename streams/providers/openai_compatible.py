"""Other providers that speak OpenAI's chat completions at a base URL of their own, such as Together."""

from typing import Any, ClassVar, Final

from streams.providers.base import ChatCall
from streams.providers.chat_requests import Dialect, write_request
from streams.providers.openai import OpenAIProvider
from streams.providers.reasoning import effort

_DIALECT: Final = Dialect("max_tokens", developer_role="system")


class OpenAICompatibleProvider(OpenAIProvider):
    """An API in OpenAI's older form, which all compatible servers know: `max_tokens`, and no developer role."""

    batches_type: ClassVar = None

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request."""
        level = effort(call, self._known, "reasoning_effort")
        return write_request(call, _DIALECT, reasoning_effort=level)
