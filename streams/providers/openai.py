"""OpenAI, through its SDK's chat completions.

Sources: https://platform.openai.com/docs/api-reference/chat/create and, for the sampling parameters,
https://developers.openai.com/api/docs/guides/deployment-checklist.
"""

from typing import Any, ClassVar, Final

from streams.providers.base import ChatCall
from streams.providers.chat_completions import ChatCompletion
from streams.providers.chat_requests import Dialect, write_request
from streams.providers.openai_batches import OpenAIBatches
from streams.providers.reasoning import effort
from streams.providers.sdk_batches import SdkBatches
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Sdk

_NOT_REASONING: Final = ("gpt-3", "gpt-4")
_EFFORT: Final = "reasoning_effort"
_DIALECT: Final = Dialect(
    "max_completion_tokens", service_tiers=frozenset({"auto", "default", "flex", "scale", "priority"})
)


class OpenAIProvider(SdkProvider):
    """OpenAI's own API."""

    simulated_path: ClassVar = "/v1"
    vendor_url: ClassVar = "https://api.openai.com/v1"
    path: ClassVar = "/chat/completions"
    arriving: ClassVar = ChatCompletion
    stream_fields: ClassVar = {"stream_options": {"include_usage": True}}
    batches_type: ClassVar[type[SdkBatches] | None] = OpenAIBatches

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        # For each request the SDK looks at httpx if it is there, also when another thread has half imported it.
        import httpx  # noqa: F401, PLC0415
        import httpx2  # noqa: PLC0415

        # Its client would import the resources when they are first looked at: on the event loop.
        import openai.resources  # noqa: PLC0415

        return Sdk(openai.AsyncOpenAI, openai.DefaultAioHttpClient, httpx2, openai.APIStatusError)

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a chat completion request.

        A model that reasons refuses temperature, top_p and logprobs, whatever their values; its answer without them is
        better than none.
        """
        if call.model.model.startswith(_NOT_REASONING):
            return write_request(call, _DIALECT, reasoning_effort=None)
        level = self._effort(call)
        samples = call.model.extra.get(_EFFORT, level) == "none"
        return write_request(call, _DIALECT, reasoning_effort=level, samples=samples, tells_logprobs=samples)

    def _effort(self, call: ChatCall) -> str | None:
        """Return the level of reasoning that is asked for.

        Beside tools this API takes no level but `none`, and refuses the default of models that reason by themselves:
        https://github.com/openai/openai-openapi/issues/541.
        """
        if not call.prompt.tools:
            return effort(call, self._known, _EFFORT)
        known = self._known(call.model)
        levels = None if known is None else known.reasoning.get(_EFFORT)
        return "none" if levels is not None and (not levels or "none" in levels) else None
