"""One cheap call to each real provider whose key is set; it costs a fraction of a cent."""

import os
from uuid import uuid4

import pytest
from support.provider_calls import Listener
from support.shipped_providers import KEYS, NAMES

from streams.config.settings import load
from streams.providers.base import ChatCall, Prompt
from streams.providers.registry import build_providers
from topics.messages import Message
from topics.requests import Params

SCHEMA = {
    "type": "object",
    "properties": {"capital": {"type": "string"}},
    "required": ["capital"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(not os.environ.get(key), reason=f"{key} is not set"))
        for name, key in zip(NAMES, KEYS, strict=True)
    ],
)
@pytest.mark.parametrize(
    ("schema", "streamed"), [(None, False), (SCHEMA, False), (None, True)], ids=["plain", "schema", "streamed"]
)
async def test_answer(name, schema, streamed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load()
    model = next(model for _, model in settings.models() if model.provider == name)
    others = settings.providers.keys() - {name}
    provider = build_providers(settings, environ=os.environ, simulator_url="http://127.0.0.1", simulated=others)[name]
    listener = Listener()
    messages = (
        Message(role="system", content="Answer with facts only."),
        Message(role="user", content="What is the capital of France?"),
    )
    call = ChatCall(
        call_id=uuid4(),
        model=model.model_copy(update={"max_tokens": 2048}),
        prompt=Prompt(messages, Params(temperature=0), schema),
        timeout_s=60,
        on_piece=listener if streamed else None,
    )
    try:
        reply = await provider.complete(call)
    finally:
        await provider.close()
    assert "Paris" in reply.content
    assert reply.finish_reason == "stop"
    assert reply.usage.source == "provider"
    assert (reply.first_token_ms is not None) == streamed
    if streamed:
        assert "".join(listener.pieces) == reply.content
