"""What a prompt begins with."""

from streams.routing.prompt_prefix import prompt_prefix
from topics.messages import Message
from topics.requests import Request


def request(*said: tuple[str, str]) -> Request:
    """A request with these messages."""
    return Request(request_id="r", messages=tuple(Message(role=role, content=text) for role, text in said))


def test_a_prompt_without_instructions_has_no_prefix():
    assert prompt_prefix(request(("user", "hello"))) == (None, 0)
    assert prompt_prefix(request(("user", "hello"), ("system", "late"))) == (None, 0)


def test_the_prefix_is_what_the_system_says_first_whoever_asks_what():
    one = prompt_prefix(request(("system", "Be brief."), ("developer", "Be kind."), ("user", "a")))
    other = prompt_prefix(request(("system", "Be brief."), ("developer", "Be kind."), ("user", "b"), ("system", "c")))
    assert one == other
    assert one[0] is not None
    assert len(one[0]) == 16
    assert one[1] == 5
    assert prompt_prefix(request(("system", "Be brief!"), ("user", "a")))[0] != one[0]


def test_half_a_character_does_no_harm():
    assert prompt_prefix(request(("system", "\ud800"), ("user", "a")))[1] == 1
