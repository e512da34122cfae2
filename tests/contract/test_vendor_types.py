"""Whatever is asked, the body is of the type that the vendor's SDK gives its requests, and says nothing besides."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from groq.types.chat.completion_create_params import CompletionCreateParams as GroqParams
from hypothesis import assume, given
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter
from support.provider_calls import call_of
from support.record_strategies import requests
from support.tool_loop import LOOP, PDF, file, image, said, text, tool

from streams.providers.anthropic import AnthropicProvider
from streams.providers.base import Prompt, ProviderError
from streams.providers.groq import GroqProvider
from streams.providers.openai import OpenAIProvider
from streams.providers.openai_compatible import OpenAICompatibleProvider
from streams.providers.vendor_sdk import Connection
from topics.requests import Request

TYPES = {
    AnthropicProvider: TypeAdapter(MessageCreateParamsNonStreaming),
    GroqProvider: TypeAdapter(GroqParams),
    OpenAIProvider: TypeAdapter(CompletionCreateParamsNonStreaming),
    OpenAICompatibleProvider: TypeAdapter(CompletionCreateParamsNonStreaming),
}

each = pytest.mark.parametrize("kind", TYPES)


def read(value: Any) -> Any:
    """Return a validated value with all its parts, which pydantic looks at as they are read."""
    if isinstance(value, Mapping):
        return {name: read(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [read(inner) for inner in value]
    return value


def body(kind: type, request: Request) -> dict[str, Any]:
    speaker = kind(Connection("p", "key", None, use_proxy=False))
    return speaker.request_body(call_of("gpt-4o", prompt=Prompt.of(request)))


def check(kind: type, request: Request) -> None:
    written = body(kind, request)
    # What the type does not know is not in what comes of it.
    assert read(TYPES[kind].validate_python(written)) == written


@each
@given(request=requests)
def test_any_request(kind, request):
    try:
        check(kind, request)
    except ProviderError:
        # Files are not for everybody; all else can be said.
        assume(False)


@each
def test_a_conversation_with_everything(kind):
    shown = [text("and this?"), image(detail="high")]
    if kind is not GroqProvider:
        shown.append(file(file_data=PDF, filename="a.pdf"))
    request = Request(
        request_id="r",
        messages=(said("system", "be brief"), *LOOP, said("user", shown)),
        tools=(tool(description="Looks.", parameters={"type": "object"}, strict=True), tool("listen")),
        tool_choice="required",
        parallel_tool_calls=False,
    )
    check(kind, request)
