"""Records as they should not be, and what becomes of each: the table behind docs/bad-records.md.

In a value, `@` stands for the id of the request. `python tests/support/bad_records.py > docs/bad-records.md` writes
the page.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

REQUEST_MAX_BYTES = 100_000
RECORD_MAX_BYTES = 2 * REQUEST_MAX_BYTES

HI = '"messages": [{"role": "user", "content": "Hi?"}]'
LONG = '"' + "x" * 257 + '"'
SERVED = "served"


@dataclass(frozen=True)
class Row:
    """A record, and what becomes of it."""

    group: str
    what: str
    """The record, or how it is made, as the page shows it."""
    value: bytes | None
    reason: str = SERVED
    """Of its dead letter; `served`: there is none."""
    answered: bool = True
    """Whether its id can be told, so that there is a result besides the letter; feedback has none."""
    late: bool = False
    """Whether it is read, and then refused by what the deployment can give."""
    names: str = ""
    """What the message begins with."""
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes | None = None
    topic: str = "requests"
    encoding: str | None = None
    """Of the bytes, where it is not the one of `value`."""

    @property
    def status(self) -> str | None:
        """Of the result; None: there is none."""
        if self.topic == "feedback":
            return None
        if self.reason == SERVED:
            return "ok"
        if not self.answered:
            return None
        return "rejected" if self.topic == "requests" else "failed"

    def value_of(self, request_id: str) -> bytes | None:
        """Return the bytes for a request of that id."""
        if self.value is None:
            return None
        value = self.value.replace(b"@", request_id.encode())
        return value if self.encoding is None else value.decode().encode(self.encoding)


def text(group: str, value: str, reason: str = SERVED, what: str | None = None, **fields: object) -> Row:
    return Row(group, f"`{value}`" if what is None else what, value.encode(), reason, **fields)


def whole(more: str) -> str:
    """A request that is complete without `more`."""
    return f'{{"request_id": "@", {HI}, {more}}}'


# Each field with values that it must not have, as JSON.
FIELDS: dict[str, tuple[str, ...]] = {
    "messages": ("null", "5", '"Hi?"', "{}", "[]", "[null]", "[5]", '["Hi?"]', "[[]]", "[{}]"),
    "messages.0.role": ("null", "5", '""', '"Tool"', '"User"'),
    "messages.0.content": ("5", "true", "{}", "[5]", "[{}]", '[{"type": "image_url"}]', '[{"type": "text"}]'),
    "messages.0.name": ("5", LONG),
    "messages.0.tool_calls": (
        "5",
        '"x"',
        "{}",
        "[5]",
        "[{}]",
        '[{"id": "c", "function": {"name": "f", "arguments": {}}}]',
    ),
    "messages.0.tool_call_id": ("5", "true", '""', "[]", LONG),
    "messages.0.is_error": ('"yes"', "1", "[]"),
    "conversation_id": ("5", "true", '""', '" a"', '"a\\n"', "[]", LONG),
    "user_id": ("5", "true", "[]", "{}", LONG),
    "feature": ("5", "false", "[]", "{}", LONG),
    "query_type": ("5", "true", "[]", "{}", LONG),
    "params": ("null", "[]", '"x"', "5"),
    "params.max_tokens": ("true", '"5"', "0", "-1", "1.5", "1e2", "1000001", "[]", "{}"),
    "params.temperature": ('"0.5"', "true", "-0.1", "2.1", "1e999", "[]"),
    "params.top_p": ('"1"', "true", "0", "1.1", "{}"),
    "params.stop": ('"x"', "[5]", "[null]", '["a", "b", "c", "d", "e"]', "{}"),
    "params.seed": ("1.5", "1.0", '"7"', "true", "[]"),
    "params.reasoning_effort": ('"HIGH"', '""', "5", "true"),
    "params.service_tier": ("5", "true", "[]", LONG),
    "params.logprobs": ('"yes"', "1", "[]"),
    "params.top_logprobs": ("-1", "21", "1.5", '"5"', "true"),
    "params.n": ("0", "2", "1.5", '"1"', "true"),
    "response_schema": ("5", '"x"', "[]", "true", '{"maximum": 1e999}', '{"enum": [[-1e999]]}'),
    "response_format": ("5", '"json"', "[]", "{}", '{"type": "xml"}', '{"type": "json_schema"}'),
    "tools": ("null", "5", '"x"', "{}", "[5]", "[{}]", '[{"type": "function"}]'),
    "tools.0.cache_control": ("5", '"x"', "{}", '{"type": "for ever"}'),
    "tools.0.type": ("null", "5", '"web_search"'),
    "tools.0.function": ("null", "5", '"f"', "[]", "{}"),
    "tools.0.function.name": ("null", "5", '""', '"a b"', '"' + "x" * 129 + '"'),
    "tools.0.function.description": ("5", "true", "[]"),
    "tools.0.function.parameters": ("5", '"x"', "[]", '{"maximum": 1e999}'),
    "tools.0.function.strict": ('"yes"', "1"),
    "tool_choice": ("5", '"any"', "[]", "{}", '{"type": "function"}'),
    "parallel_tool_calls": ('"yes"', "1", "[]"),
    "model": ("5", "true", "[]", LONG),
    "context": ("null", "[]", '"x"', "5"),
    "context.user_role": ("5", "true", LONG),
    "context.error_tolerance": ('"HIGH"', '"none"', "5", "null"),
    "context.business_impact": ('"Critical"', '""', "1", "null"),
    "context.self_validating": ('"true"', '"yes"', "1", "0", "null"),
    "context.data_class": ('"secret"', "5", "null"),
    "service_class": ('"fast"', '"BULK"', "5", "null", "true"),
    "timeout_ms": ("true", '"5"', "5.0", "1e3", "0", "-1", "31536000001", "1" + "0" * 30, "[]", "{}"),
    "deadline": (
        *("1900000000", "1.9e9", '"1900000000"', "true", "[]", '""', '"tomorrow"', '"2030-01-01"'),
        *('"2030-01-01T00:00:00"', '"2030-13-01T00:00:00Z"', '"0001-01-01T00:00:00+14:00"'),
    ),
    "stream": ('"yes"', '"true"', "1", "0", "null", "[]"),
    "progress": ('"yes"', '"true"', "1", "0", "[]"),
    "final_once_shown": ('"yes"', '"true"', "1", "0", "[]"),
    "min_tier": ("true", '"1"', "1.0", "0", "-1", "100", "[]"),
    "max_tier": ("true", '"1"', "1.0", "0", "-1", "100", "{}"),
    "max_cost_usd": (
        *("true", "-1", '"-1"', '"NaN"', '"Infinity"', '"1_0"', '" 1 "', '""', '"a lot"', "1e-13", "1e999", "[]"),
        '"\u0661"',
    ),
    "tags": ('"x"', "[5]", "[null]", "{}", "null", f"[{LONG}]"),
}

# What each field alone may have, but not beside the others.
AT_ODDS: dict[str, tuple[tuple[str, str], ...]] = {
    "messages.0": (
        ("messages.0.role", '"tool"'),
        ("messages.0.content", "null"),
        ("messages.0.tool_calls", "[]"),
        ("messages.0.tool_call_id", '"c"'),
        ("messages.0.is_error", "true"),
        ("messages.0.content", '[{"type": "thinking", "thinking": "x"}]'),
    ),
    "value": (
        ("tool_choice", '"required"'),
        ("tools", '[{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}]'),
    ),
}

# What is well formed, and asks for what can't be given.
REFUSED: dict[str, tuple[str, ...]] = {
    "model": ('"nobody/nothing"', '""'),
    "response_format": ('{"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 5}}}',),
    "min_tier": ("9", "99"),
    "max_tier": ("9", "99"),
    "deadline": ('"2999-01-01T00:00:00Z"',),
    "timeout_ms": ("31536000000",),
    "response_schema": (
        '{"type": "no such type"}',
        '{"type": 5}',
        '{"properties": []}',
        '{"required": "a"}',
        '{"pattern": "("}',
        '{"minLength": -1}',
        '{"$ref": "http://127.0.0.1:1/x"}',
        '{"$ref": "other.json"}',
        '{"$ref": "#/nowhere"}',
    ),
}

IDS = (
    "5",
    "1.0",
    "true",
    "null",
    "[]",
    "{}",
    '["@"]',
    '{"id": "@"}',
    '""',
    '" @"',
    '"@ "',
    '"a\\nb"',
    '"\\u0000"',
    LONG,
)


def field_rows() -> Iterator[Row]:
    for name, values in FIELDS.items():
        for value in values:
            yield text("Fields", _with(name, value), "invalid", _shown(name, value), names=name)
    for names, pairs in AT_ODDS.items():
        for name, value in pairs:
            yield text("Fields", _with(name, value), "invalid", _shown(name, value), names=names)
    for name, values in REFUSED.items():
        for value in values:
            # How far ahead a deadline may lie is said of both fields that name one.
            names = "deadline" if name == "timeout_ms" else name
            yield text("Refused", whole(f'"{name}": {value}'), "invalid", _shown(name, value), names=names, late=True)
    crossed = whole('"min_tier": 3, "max_tier": 1')
    yield text("Refused", crossed, "invalid", "`min_tier` above `max_tier`", names="min_tier", late=True)
    deep = '{"not": ' * 70 + "{}" + "}" * 70
    what = "`response_schema` with 71 levels"
    yield text("Refused", whole(f'"response_schema": {deep}'), "invalid", what, names="response_schema", late=True)
    for value in IDS:
        yield text("Ids", f'{{"request_id": {value}, {HI}}}', "invalid", _shown("request_id", value), answered=False)
    yield text("Ids", f"{{{HI}}}", "invalid", "no `request_id`", answered=False)


def _with(name: str, value: str) -> str:
    """A request that is complete, with a value at a place of it."""
    request = {"request_id": "@", "messages": [{"role": "user", "content": "Hi?"}]}
    if name.startswith("tools."):
        request["tools"] = [{"type": "function", "function": {"name": "f"}}]
    *way, last = (int(part) if part.isdigit() else part for part in name.split("."))
    part = request
    for step in way:
        part = part.setdefault(step, {}) if isinstance(part, dict) else part[step]
    part[last] = "<value>"
    return json.dumps(request).replace('"<value>"', value)


def _shown(name: str, value: str) -> str:
    return f"`{name}`: `{value}`" if len(value) < 60 else f"`{name}`: {len(value)} characters, `{value[:12]}…`"


def json_rows() -> Iterator[Row]:
    for value in ("null", "true", "5", '"@"', "[]", "{}", '[{"request_id": "@"}]', '"{\\"request_id\\": \\"@\\"}"'):
        yield text("No request", value, "invalid", answered=False)
    for value in ("   ", "not json", "<request id='@'/>", "request_id: @", "{'request_id': '@'}", '{request_id: "@"}'):
        yield text("No JSON", value, "not_json", answered=False)
    cut = whole('"tags": ["a"]')
    for at in (1, 10, 14, 16, 17):
        yield text("Cut off", cut[:at], "not_json", answered=False)
    for at in (18, 19, 30, 60, len(cut) - 1):
        yield text("Cut off", cut[:at], "not_json")
    for more in ("x", "}", "]", ",", ", }", "{}", "\x00", "\x00\x00"):
        yield text("Too much", whole('"n": 1') + more, "not_json", f"a request, then `{more!r}`")
    two = whole('"n": 1') + whole('"n": 2')
    yield text("Too much", two, "not_json", "two requests in a row", answered=False)
    yield text("Too much", two.replace("}{", "}\n{"), "not_json", "two lines, a request each", answered=False)
    for flaw in ("NaN", "Infinity", "-Infinity", "-NaN", "nan", "None", "True", "undefined", "01", "+1", "1.", ".5"):
        yield text("Values", whole(f'"x": {flaw}'), "not_json", f"`x`: `{flaw}`")
    for flaw in ("0x10", "1_000", "1e", "--1", '"\\x"', '"\\u12"', '"\t"', '"\n"', "[1,]", '{"a": 1,}', "[1 2]", "[}"):
        yield text("Values", whole(f'"x": {flaw}'), "not_json", f"`x`: `{flaw!r}`")
    yield text("Values", whole(f'"x": [{"NaN, " * 1000}1]'), "not_json", "a thousand NaN")
    yield text("Values", whole(f'"x": {"9" * 5000}'), "not_json", "an integer of 5,000 digits")
    yield text("Values", whole(f'"timeout_ms": -{"9" * 5000}'), "not_json", "`timeout_ms` of 5,000 digits")
    yield text("Values", f'{{{HI}, "x": NaN, "request_id": "@"}}', "not_json", "NaN before the id")
    yield text("Values", whole('"x": 1,'), "not_json", "a comma before the end")
    yield text("Values", f'{{"request_id": "@" {HI}}}', "not_json", "no comma behind the id", answered=False)
    yield text("Values", f'{{"request_id": NaN, {HI}}}', "not_json", "an id that is NaN", answered=False)
    quoted = '{"request_id": "@", "messages": [{"role": "user", "content": "5" pipe"}]}'
    yield text("Values", quoted, "not_json", "a quotation mark that is not escaped, behind the id")
    quoted = '{"messages": [{"role": "user", "content": "a "}], "request_id": "@", "b": " c"}], "request_id": "z"}'
    yield text("Values", quoted, "not_json", "one in front of the id, so that a text has another", answered=False)
    yield text("Values", f'{{"request_id": "@" 5", {HI}}}', "not_json", "one in the id", answered=False)
    yield text("Values", whole('/* why */ "x": 1'), "not_json", "a comment")


def nesting_rows() -> Iterator[Row]:
    yield text("Nesting", whole(f'"x": {"[" * 100}{"]" * 100}'), what="100 levels in a field that nobody reads")
    for depth in (300, 40_000):
        closed = "[" * depth + "]" * depth
        yield text("Nesting", whole(f'"x": {closed}'), "not_json", f"{depth} levels, behind the id")
        behind = f'{{"x": {closed}, "request_id": "@", {HI}}}'
        yield text("Nesting", behind, "not_json", f"{depth} levels, in front of the id")
        yield text("Nesting", whole(f'"x": {"[" * depth}'), "not_json", f"{depth} levels that are left open")
        yield text("Nesting", "[" * depth, "not_json", f"{depth} brackets and nothing else", answered=False)
    objects = '{"a": ' * 10_000 + "1" + "}" * 10_000
    yield text("Nesting", whole(f'"response_schema": {objects}'), "not_json", "`response_schema` of 10,000 levels")


def name_rows() -> Iterator[Row]:
    same = f'{{"request_id": "@", "request_id": "@", {HI}'
    other = f'{{"request_id": "z", "request_id": "@", {HI}'
    yield text("Names", same + "}", what="the same id twice")
    yield text("Names", same + ', "x": NaN}', "not_json", "the same id twice, and NaN")
    yield text("Names", other + "}", what="two ids: the last one counts")
    yield text("Names", other + ', "x": NaN}', "not_json", "two ids, and NaN", answered=False)
    yield text("Names", other + ', "stream": 1}', "invalid", "two ids, and `stream`: `1`", answered=False)
    yield text("Names", f'{{"request\\u005fid": "@", {HI}}}', what="the name `request\\u005fid`")
    yield text("Names", f'{{"request\\u005fid": "@", {HI}, "x": NaN}}', "not_json", "the same, and NaN")
    hidden = f'{{"request_id": "@", "request\\u005fid": "z", {HI}, "x": NaN}}'
    yield text("Names", hidden, "not_json", "another id under that name, and NaN", answered=False)
    inside = f'{{"x": {{"request_id": "@"}}, {HI}, "y": NaN}}'
    yield text("Names", inside, "not_json", "an id within another field, and NaN", answered=False)
    yield text(
        "Names", f'{{"request": {{"request_id": "@"}}, {HI}}}', "invalid", "one within `request`", answered=False
    )
    yield text("Names", whole('"task": {"request_id": "z"}, "stream": 1'), "invalid", "another id within `task`")
    yield text("Names", whole('"min_teir": 2, "": null, "\\u0000": 1'), what="names that nobody reads")
    yield text("Names", f'{{"Request_Id": "@", {HI}}}', "invalid", "the name `Request_Id`", answered=False)


def encoding_rows() -> Iterator[Row]:
    plain = whole('"n": 1')
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield text("Encodings", plain, "not_json", f"in {encoding}", encoding=encoding)
    for what, raw in {
        "a byte of Latin-1": b"\xe9",
        "half of a surrogate pair in UTF-8": b"\xed\xa0\x80",
        "a character that is too long": b"\xc0\xaf",
        "a character that is cut off": b"\xe2\x82",
        "a byte beyond UTF-8": b"\xff",
    }.items():
        yield Row("Encodings", f"{what}, in a text", whole('"tags": ["#"]').encode().replace(b"#", raw), "not_json")
        inside = plain.encode().replace(b"@", b"@" + raw)
        yield Row("Encodings", f"{what}, in the id", inside, "not_json", answered=False)
    for escape in ("\\ud800", "\\udfff", "\\ud83dx", "\\ude00\\ud83d"):
        yield text("Encodings", whole(f'"tags": ["{escape}"]'), "not_json", f"`{escape}` in a text")
    yield text("Encodings", f'{{"request_id": "@\\ud800", {HI}}}', "not_json", "`\\ud800` in the id", answered=False)
    yield text(
        "Encodings", whole('"tags": ["\\ud83d\\ude00", "\\u0000", "\u202e\u05d0\U0001f642"]'), what="any character"
    )
    yield Row("Encodings", "gzip", gzip.compress(plain.encode(), mtime=0), "not_json", answered=False)
    yield Row("Encodings", "bytes of no meaning", bytes(range(256)) * 2, "not_json", answered=False)
    yield Row("Encodings", "zeros", bytes(100), "not_json", answered=False)


def size_rows() -> Iterator[Row]:
    yield Row("Sizes", "no value", None, "empty", answered=False, key=b"k")
    yield Row("Sizes", "an empty value", b"", "empty", answered=False)
    padding = REQUEST_MAX_BYTES - len(whole('"p": ""')) - len("bad-000") + 1
    yield text("Sizes", whole(f'"p": "{"x" * padding}"'), what="as large as a request may be")
    for what, size in {"a byte more": padding + 1, "nearly as large as a record may be": padding + 99_000}.items():
        yield text("Sizes", whole(f'"p": "{"x" * size}"'), "too_large", what)
    behind = f'{{"p": "{"x" * padding}", {HI}, "request_id":  "@"}}'
    yield text("Sizes", behind, "too_large", "too large, the id at the end")
    yield text("Sizes", whole(f'"p": [{"[]," * 40_000}NaN]'), "too_large", "too large, and 40,000 lists with NaN")
    yield text("Sizes", "x" * (padding + 500), "too_large", "too large, and no JSON", answered=False)
    yield text("Sizes", "[" * (padding + 500), "too_large", "too large, and only brackets", answered=False)
    grown = '{"default": [' + "1e15," * 19_000 + "1]}"
    what = "19,000 times `1e15`, which is `1000000000000000.0` when it is written again"
    yield text("Sizes", whole(f'"response_schema": {grown}'), "too_large", what, late=True, names="the record for tier")


def header_rows() -> Iterator[Row]:
    good = whole('"n": 1')
    for schema in (b"request/2", b"request/1.0", b"REQUEST/1", b"request", b"", b"\xff\x00", b"result/1", b"x" * 9_000):
        what = f"`schema`: `{schema!r}`" if len(schema) < 99 else "`schema` of 9,000 bytes"
        yield text("Headers", good, "unknown_schema", what, headers=(("schema", schema),), names="the header schema")
    twice = (("schema", b"request/1"), ("schema", b"request/2"))
    yield text("Headers", good, "unknown_schema", "`schema` twice: the last one counts", headers=twice)
    yield text("Headers", good, what="the same the other way round", headers=twice[::-1])
    for name, value in (
        ("schema", b"request/1"),
        ("schema", None),
        ("Schema", b"request/2"),
        ("traceparent", b"\xff\x00"),
        ("traceparent", b""),
        ("traceparent", None),
        ("revision", b"7"),
        ("revision", b"\xff"),
        ("dead-letter-retries", b"-1"),
        ("dead-letter-retries", b"9" * 500),
        ("dead-letter", b"\xff"),
        ("dead-letter", None),
        ("attempt-id", b"x"),
        ("", b""),
        ("\u05d0\u202e", b"\x00"),
    ):
        shown = f"{len(value)} bytes" if value is not None and len(value) > 99 else f"`{value!r}`"
        yield text("Headers", good, what=f"`{name or ' '}`: {shown}", headers=((name, value),))
    large = (("traceparent", b"0" * 90_000),)
    yield text("Headers", good, what="`traceparent` of 90,000 bytes, which is not passed on", headers=large)
    many = tuple((f"h{number}", b"x") for number in range(500))
    yield text("Headers", good, what="500 headers", headers=many)
    odd = (("dead-letter", b"x"), ("revision", b"\xff"))
    yield text("Headers", good, what="`dead-letter`, and a `revision` that is no number", headers=odd)
    broken = whole('"x": NaN')
    yield text("Headers", broken, "not_json", "NaN, and a `traceparent` of 90,000 bytes", headers=large)
    yield text("Headers", broken, "not_json", "NaN, and 500 headers", headers=many)
    yield text("Headers", broken, "not_json", "NaN, and a header without a value", headers=(("x", None),))


def key_rows() -> Iterator[Row]:
    for what, key in {
        "none": None,
        "empty": b"",
        "of another request": b"z",
        "no text": b"\xff\xfe\x00",
        "90,000 bytes": b"k" * 90_000,
    }.items():
        yield text("Keys", whole('"n": 1'), what=f"key: {what}", key=key)
        yield text("Keys", whole('"n": NaN'), "not_json", f"key: {what}, and NaN", key=key)


def stage_rows() -> Iterator[Row]:
    """What nobody but a stage writes, as somebody else may have written it."""
    request = '{"request": {"request_id": "@"}}'
    places = {"tier1": request, **dict.fromkeys(("validation", "escalations", "parked"), f'{{"task": {request}}}')}
    for topic, value in places.items():
        group, cut = f"On `{topic}`", value[:-1]
        yield Row(group, "no value", None, "empty", answered=False, key=b"k", topic=topic)
        yield text(group, "{}", "invalid", answered=False, topic=topic)
        yield text(group, '{"request_id": "@"}', "invalid", answered=False, topic=topic)
        yield text(group, value, "invalid", topic=topic)
        yield text(group, cut + ', "x": NaN}', "not_json", topic=topic)
        yield text(group, cut, "not_json", topic=topic)
    for value, reason in {"{}": "invalid", "[]": "invalid", "{": "not_json", '{"status": "ok"}': "invalid"}.items():
        yield text("On `outcomes`", value, reason, answered=False, topic="outcomes")


# Fields of feedback with values that they must not have, as JSON; what else is needed stands beside them.
FEEDBACK: dict[str, tuple[str, ...]] = {
    "revision": ("-1", "1.0", '"0"', "true", "null", "1000001"),
    "kind": ('"WRONG"', '"bad"', '""', "5", "null", '"wrong", "rating": 3', '"rating"', '"rating", "rating": 0'),
    "rating": ("0", "6", "1.5", '"5"', "true", "[]"),
    "user_id": ("5", "true", LONG),
    "comment": ("5", "{}", f'"{"x" * 4_097}"'),
    "correction": ("5", "[]", '"It is 4."', f'"{"x" * 65_537}"'),
    "retry": ('"yes"', '"true"', "1", "0", "[]"),
}


def feedback_rows() -> Iterator[Row]:
    """Feedback has no result: what can't be read is a dead letter alone, and the rest is told of in a hop."""
    group = "On `feedback`"
    plain = '{"request_id": "@", "kind": "wrong"'
    fields = '"revision": 0, "user_id": null, "comment": null, "correction": null, "rating": null, "retry": null'
    for value in (plain + "}", f"{plain}, {fields}}}", f'{plain}, "coment": "no"}}'):
        yield text(group, value, topic="feedback")
    yield Row(group, "no value", None, "empty", answered=False, key=b"k", topic="feedback")
    yield text(group, '{"request_id": "@"}', "invalid", topic="feedback")
    for value in ("{}", "[]", '{"kind": "wrong"}', '{"request_id": "", "kind": "wrong"}'):
        yield text(group, value, "invalid", answered=False, topic="feedback")
    yield text(group, "not json", "not_json", answered=False, topic="feedback")
    for value in (plain, plain + ', "x": NaN}'):
        yield text(group, value, "not_json", topic="feedback")
    for name, values in FEEDBACK.items():
        kind = "" if name == "kind" else f', "kind": "{"rating" if name == "rating" else "wrong"}"'
        for value in values:
            record = f'{{"request_id": "@"{kind}, "{name}": {value}}}'
            yield text(group, record, "invalid", _shown(name, value), topic="feedback")
    schema = (("schema", b"feedback/2"),)
    what = "`schema`: `b'feedback/2'`"
    yield text(group, plain + "}", "unknown_schema", what, headers=schema, topic="feedback")
    padded = f'{plain}, "p": "{"x" * REQUEST_MAX_BYTES}"}}'
    yield text(group, padded, "too_large", "larger than a request may be", topic="feedback")


def rows() -> list[Row]:
    """All rows, in the order of the page."""
    return [
        text("Fields", f'{{"request_id": "@", {HI}}}'),
        text("Fields", whole('"params": {"temperature": 1, "top_p": 1}'), what="an integer for a float"),
        *(text("Fields", whole(f'"max_cost_usd": {cost}')) for cost in ("1", "0.5", '"0.50"', '"1e-2"')),
        *field_rows(),
        *json_rows(),
        *name_rows(),
        *nesting_rows(),
        *encoding_rows(),
        *size_rows(),
        *header_rows(),
        *key_rows(),
        *stage_rows(),
        *feedback_rows(),
    ]


def page() -> str:
    """The table as Markdown."""
    lines = [
        "# Bad records",
        "",
        "What becomes of records that are not as [the contract](contract.md) has them. The page is written from",
        "`tests/support/bad_records.py`, and a test sends all of it through Kafka and a worker. `@` stands for the id",
        f"of the request; requests may have {REQUEST_MAX_BYTES:,} bytes here, and records {RECORD_MAX_BYTES:,}.",
    ]
    group = None
    for row in rows():
        if row.group != group:
            group = row.group
            lines += ["", f"## {group}", "", "| record | dead letter | result |", "|---|---|---|"]
        letter = "" if row.reason == SERVED else f"`{row.reason}`"
        result = {None: "none", "ok": "`ok`"}.get(row.status, f"`{row.status}`, `{row.reason}`")
        lines.append(f"| {_cell(row.what)} | {letter} | {result} |")
    return "\n".join(lines) + "\n"


def _cell(what: str) -> str:
    plain = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in what)
    return plain.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the page is what it is run for
