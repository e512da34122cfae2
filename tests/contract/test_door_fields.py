"""docs/door-fields.md: every field that the vendors' clients can send is in it, and is treated as it says."""

import re
from pathlib import Path

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from support.door_answers import read

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.surface import DoorError

PAGE = (Path(__file__).parents[2] / "docs" / "door-fields.md").read_text()
USER = {"role": "user", "content": "Which way?"}
SURFACES = {
    "Chat completions": (ChatCompletions(), CompletionCreateParamsBase, {"messages": [USER]}),
    "Messages": (Messages(), MessageCreateParamsBase, {"messages": [USER], "max_tokens": 9}),
    "Responses": (Responses(), ResponseCreateParamsBase, {"input": "Which way?"}),
}


def fields(section, row):
    """Return the fields in a row of a section's table; words behind one say which values it may have."""
    (text,) = re.findall(rf"^## {section}$.*?^\| {row} \| (.*?) \|$", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", text))


@pytest.mark.parametrize("section", SURFACES)
def test_every_field_is_in_the_table(section):
    _, params, _ = SURFACES[section]
    listed = [name for row in ("read", "passed over", "refused") for name in fields(section, row)]
    assert len(listed) == len(set(listed))
    assert (params.__annotations__.keys() | {"stream"}) - set(listed) == set()


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section in SURFACES for name in fields(section, "refused")]
)
def test_what_is_refused_is_named(section, name):
    surface, _, body = SURFACES[section]
    with pytest.raises(DoorError) as raised:
        read(surface, {"model": "auto", **body, name: 1})
    assert (raised.value.status, raised.value.param) == (400, name)


VALUES = {
    "metadata": {"a": "b"},
    "store": False,
    "truncation": "auto",
    "max_tool_calls": 3,
    "safety_identifier": "s",
    "prompt_cache_key": "k",
}


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section in SURFACES for name in fields(section, "passed over")]
)
def test_what_is_passed_over_changes_no_request(section, name):
    surface, _, body = SURFACES[section]
    body = {"model": "auto", **body}
    assert read(surface, {**body, name: VALUES.get(name, {"any": "value"})}).request == read(surface, body).request
