"""Anthropic, through its SDK.

Sources: https://platform.claude.com/docs/en/api/messages/create and, for schemas,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
"""

import json
from typing import Any, ClassVar, Final

from streams.config.model_catalogue import KnownModel
from streams.providers.anthropic_batches import AnthropicBatches
from streams.providers.anthropic_messages import AnthropicMessage
from streams.providers.anthropic_requests import write_system, write_tool, write_tool_choice, write_turns
from streams.providers.base import ChatCall
from streams.providers.reasoning import effort
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Sdk
from topics.messages import Tool

# The answer is checked in any case; asking is better than giving up the provider.
_SCHEMA_INSTRUCTION: Final = "Reply with one JSON value that satisfies this JSON Schema, and with nothing else: "
_JSON_INSTRUCTION: Final = "Reply with one JSON object, and with nothing else."
_SERVICE_TIERS: Final = frozenset({"auto", "standard_only"})
_UNKNOWN: Final = KnownModel()
"""It may be one of those that refuse a level of reasoning."""
_THINKING: Final = ("thinking", "redacted_thinking")


class AnthropicProvider(SdkProvider):
    """Anthropic's API; its base URL is the host, without the path `/v1`."""

    vendor_url: ClassVar = "https://api.anthropic.com"
    path: ClassVar = "/v1/messages"
    arriving: ClassVar = AnthropicMessage
    batches_type: ClassVar = AnthropicBatches

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        import httpx2  # noqa: PLC0415
        from anthropic import APIStatusError, AsyncAnthropic, DefaultAioHttpClient  # noqa: PLC0415

        return Sdk(AsyncAnthropic, DefaultAioHttpClient, httpx2, APIStatusError)

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a message request.

        The API version that the SDK speaks, 2026-10-21, refuses temperature and top_p; it has no seed and no logprobs
        either. Those are left out: an answer without them is better than none.
        """
        prompt, params = call.prompt, call.prompt.params
        output_config, more = _json_asked_for(call)
        turns, system = write_turns(prompt), write_system(prompt, more)
        if not turns:
            # The API wants at least one turn; instructions alone are then what the user says.
            turns, system = [{"role": "user", "content": write_system(prompt, []) or ""}], "\n\n".join(more) or None
        level = effort(call, self._known, "output_config.effort", unknown=_UNKNOWN)
        if level is not None:
            output_config["effort"] = level
        optional = {
            "system": system,
            "tools": [_written(tool) for tool in prompt.tools] or None,
            "tool_choice": write_tool_choice(prompt),
            "output_config": output_config or None,
            "stop_sequences": None if params.stop is None else list(params.stop),
            "service_tier": params.service_tier if params.service_tier in _SERVICE_TIERS else None,
        }
        body: dict[str, Any] = {"model": call.model.model, "messages": turns, "max_tokens": call.max_tokens}
        return body | {name: value for name, value in optional.items() if value is not None}

    def settle_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Leave thinking with a budget off where the API refuses it; adaptive thinking is free of both rules.

        It refuses it beside a choice that forces a tool, and within a tool loop whose last turn of the model does not
        begin with thinking: another vendor's turn, or one of a model that did not think.
        https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows
        https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
        """
        if body.get("thinking", {}).get("type") != "enabled":
            return body
        forced = body.get("tool_choice", {}).get("type") in {"any", "tool"}
        if not forced and not _is_in_foreign_loop(body["messages"]):
            return body
        return {name: value for name, value in body.items() if name != "thinking"}


def _json_asked_for(call: ChatCall) -> tuple[dict[str, Any], list[str]]:
    """Return how the API is held to JSON, and what the model is told where it can't be."""
    prompt = call.prompt
    if prompt.response_schema is None:
        asked = prompt.response_format is not None and prompt.response_format.type != "text"
        return {}, [_JSON_INSTRUCTION] if asked else []
    supported = _supported(prompt.response_schema)
    if supported is None:
        return {}, [_SCHEMA_INSTRUCTION + json.dumps(prompt.response_schema, ensure_ascii=False)]
    return {"format": {"type": "json_schema", "schema": supported}}, []


def _written(tool: Tool) -> dict[str, Any]:
    strict = _supported({"type": "object", **(tool.function.parameters or {})}) if tool.function.strict else None
    return write_tool(tool, strict)


def _supported(schema: dict[str, Any]) -> dict[str, Any] | None:
    """Turn keywords that the API refuses into descriptions; None for a schema that it can't be held to at all."""
    from anthropic import transform_schema  # noqa: PLC0415 - imported with the SDK before any call

    try:
        return transform_schema(schema)
    except (ValueError, TypeError, AttributeError, AssertionError):
        return None


def _is_in_foreign_loop(turns: list[dict[str, Any]]) -> bool:
    """Whether the last turn of the model calls tools and does not begin with thinking."""
    blocks = next((turn["content"] for turn in reversed(turns) if turn["role"] == "assistant"), "")
    if isinstance(blocks, str) or not any(block["type"] == "tool_use" for block in blocks):
        return False
    return blocks[0]["type"] not in _THINKING
