"""The id of a request in bytes that can't be served, so that whoever named one gets an answer.

A parser that refuses a value says nothing about whose it is: NaN, half of a surrogate pair, an integer of thousands of
digits, nesting without end, a text that is cut off. So no value is parsed here. The members of an object are walked
over, up to the place where the text stops being one, and nested values are passed by their brackets. Nothing is
built, and the time has a bound, whatever the bytes are.
"""

import json
import re
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from topics.base import Identifier

# Possessive throughout: none of these ever looks at a character twice.
_SPACE = r"[ \t\r\n]*+"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_OPENING = re.compile(rf"{_SPACE}\{{")
_BEHIND = rf"{_SPACE}([,}}]|\Z)"
_FLAT = rf'{_STRING}|[^\s,:"\[\]{{}}]++'
_MEMBER = re.compile(rf"{_SPACE}({_STRING}){_SPACE}:{_SPACE}(?:({_FLAT}){_BEHIND}|(?=[\[{{]))", re.DOTALL)
_BEHIND_NESTED = re.compile(_BEHIND)
_NEXT_BRACKETS = re.compile(rf'(?:[^"\[\]{{}}]++|{_STRING})*+(?:([\[{{]++)|([\]}}]++))', re.DOTALL)
_UNREADABLE = "\ufffd"
_MOST_STEPS = 1024 * 1024
"""Members and runs of brackets; no value of 1 MiB has more. Of a larger one the rest is not looked at."""

_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


def find_request_id(value: bytes, path: tuple[str, ...]) -> str | None:
    """Return the id that the value names for sure.

    Args:
        value: Any bytes.
        path: Names of the members that lead from the outermost object to the id.

    Returns:
        None where no id can be told: it is not at its place, not an id, itself cut off, or there are several members
        of that name.
    """
    text = value.decode(json.detect_encoding(value), errors="replace")
    for name in path:
        found = _only_member(text, name)
        if found is None:
            return None
        text = found
    try:
        return _IDENTIFIER.validate_python(_text_of(text), strict=True)
    except ValidationError:
        return None


def _only_member(text: str, name: str) -> str | None:
    """Return the JSON of a member; None where it is absent, or named again with another value."""
    found: set[str] = set()
    end = 0
    for raw_name, start, end in _members(text):
        if raw_name == f'"{name}"' or ("\\" in raw_name and _text_of(raw_name) == name):
            found.add(text[start:end])
    # What comes behind the object, or is no part of one, is not understood: it may name another.
    return found.pop() if len(found) == 1 and f'"{name}"' not in text[end:] else None


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end of each member, in order, as long as the text is an object.

    A nested value that is cut off ends with the text; a flat one that is not followed by what must follow is left out.
    """
    opening = _OPENING.match(text)
    at = opening.end() if opening else len(text)
    steps = _MOST_STEPS
    while steps > 0 and (member := _MEMBER.match(text, at)):
        if member[2] is not None:
            start, end = member.span(2)
            behind, steps = member[3], steps - 1
            at = member.end()
        else:
            start = member.end()
            end, steps = _nested_end(text, start, steps)
            found = _BEHIND_NESTED.match(text, end)
            behind = found[1] if found else None
            at = found.end() if found else end
        yield member[1], start, end
        if behind != ",":
            return


def _nested_end(text: str, at: int, steps: int) -> tuple[int, int]:
    """Return where a nested value ends, and how many steps are left."""
    depth = 0
    while steps > 0 and (brackets := _NEXT_BRACKETS.match(text, at)):
        steps -= 1
        at = brackets.end()
        if brackets[1]:
            depth += len(brackets[1])
            continue
        depth -= len(brackets[2])
        if depth <= 0:
            return at + depth, steps
    return (len(text) if steps > 0 else at), steps


def _text_of(raw: str) -> str | None:
    """Read a JSON string; None for anything else, and where its bytes were no text."""
    try:
        found = json.loads(raw) if raw.startswith('"') and _UNREADABLE not in raw else None
    except ValueError:
        return None
    return found if isinstance(found, str) else None
