"""The codec: every record survives the journey; other bytes raise a DecodeError that keeps texts to itself.

What becomes of which bytes is a table of its own, `bad_records.py`.
"""

import json
import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.in_memory import BASE, new_request, new_task
from support.record_strategies import by_record, requests

from topics.codec import SCHEMA_HEADER, DecodeError, Headers, decode, encode, header
from topics.dead_letters import KEPT_BYTES, RETRIES_HEADER, dead_letter
from topics.registry import CALLS, DEAD_LETTERS, REQUESTS, all_topics, tier_tasks
from topics.requests import Request
from topics.results import Settled

SECRET = "the-merger-with-ACME"
REASONS = {"not_json", "invalid", "empty"}
PIECES = (b"", b"\x00", b"\xff", b'"', b"{", b"]", b"1e999", b"NaN", b"null", b"\\ud800", b"9" * 5000)
SPECS = {model: spec for spec in all_topics(3) for model in spec.records}
SHORTEST = {"request_id": "r1", "messages": [{"role": "user", "content": "hi"}]}


def body(**fields: object) -> bytes:
    return json.dumps(SHORTEST | fields).encode()


def refusal(value: bytes | None, *headers: tuple[str, bytes | None], max_bytes: int | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(REQUESTS, value, headers, max_bytes=max_bytes)
    assert "\n" not in caught.value.message
    assert SECRET not in caught.value.message
    return caught.value


def attempt(spec, value: bytes, headers: Headers = ()) -> DecodeError | None:
    """Decode bytes that may be good or bad; anything but a DecodeError is a failure of the test."""
    try:
        decode(spec, value, headers)
    except DecodeError as error:
        return error
    return None


def test_every_record_of_the_registry_is_covered():
    without = {model.__name__ for model in SPECS} - {model.__name__ for model in by_record} - {"DeadLetter"}
    assert not without, f"tests/support/record_strategies.py: by_record has no strategy for {without}"


@pytest.mark.parametrize("model", by_record, ids=lambda model: model.__name__)
@settings(max_examples=examples(25))
@given(data=st.data())
def test_a_record_survives_the_journey(model, data):
    record = data.draw(by_record[model])
    encoded = encode(record)
    decoded = decode(SPECS[model], encoded.value, encoded.headers)
    assert decoded.record == record
    assert decoded.unknown_fields == ()
    assert encoded.key.decode() == record.partition_key
    assert encode(decoded.record) == encoded


def _mutated(value: bytes, seed: int) -> bytes:
    chance, mutated = random.Random(seed), bytearray(value)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutated) + 1)
        mutated[at : at + chance.randint(0, 6)] = chance.choice(PIECES)
    return bytes(mutated)


@settings(max_examples=examples(300))
@given(requests, st.integers(0, 2**32))
def test_mutated_requests_are_read_or_refused(request, seed):
    error = attempt(REQUESTS, _mutated(encode(request).value, seed))
    assert error is None or error.reason in REASONS


@pytest.mark.parametrize("model", by_record, ids=lambda model: model.__name__)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_mutated_records_are_read_or_refused(model, data):
    encoded = encode(data.draw(by_record[model]))
    error = attempt(SPECS[model], _mutated(encoded.value, data.draw(st.integers(0, 2**32))), encoded.headers)
    assert error is None or error.reason in REASONS


@settings(max_examples=examples(150))
@given(st.binary(max_size=60), st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=3))
def test_any_bytes_and_headers_are_read_or_refused(value, headers):
    error = attempt(REQUESTS, value, headers)
    assert error is None or error.reason in {*REASONS, "unknown_schema"}


@settings(max_examples=examples(150))
@given(
    st.sampled_from([name for name in Request.model_fields if name not in {"messages", "request_id", "tags"}]),
    st.sampled_from([SECRET, [SECRET], {"type": SECRET}, {"user_role": [SECRET]}, {"max_tokens": SECRET}]),
)
def test_texts_stay_out_of_error_messages(field, value):
    error = attempt(REQUESTS, body(**{field: value}))
    if error is not None:
        assert SECRET not in error.message
        assert SECRET not in repr(error)
        assert error.request_id == "r1"
        assert error.__cause__ is None


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": SECRET, "content": "x"}],
        [{"role": "user", "content": {"text": SECRET}}],
        [{"role": "user", "content": [{"type": "image", "text": SECRET}]}],
        [{"role": "user", "content": [SECRET]}],
        [{"role": "user", "content": None, "name": SECRET}],
        SECRET,
        {SECRET: 1},
        [SECRET] * 10,
        [],
    ],
)
def test_prompts_stay_out_of_error_messages(messages):
    error = refusal(body(messages=messages))
    assert (error.reason, error.request_id) == ("invalid", "r1")
    assert error.message.startswith("messages")


def test_broken_json_names_a_place_and_no_text():
    error = refusal(f'{{"request_id": "r1", "messages": [{{"role": "user", "content": "{SECRET}'.encode())
    assert error.reason == "not_json"
    assert "line 1 column" in error.message


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 1e300, "2026-01-01T00:00:00"]
)
def test_a_deadline_at_the_ends_of_the_calendar_is_refused_like_any_other(moment):
    error = refusal(body(deadline=moment))
    assert error.request_id == "r1"
    assert error.message.startswith("deadline: ")


def test_nul_and_any_language_are_text():
    text = "\x00 \u202e שלום 你好 🙂 \x7f"
    record = decode(REQUESTS, body(messages=[{"role": "user", "content": text}]), []).record
    assert record.question == text
    assert decode(REQUESTS, encode(record).value, []).record == record


def test_of_duplicate_keys_the_last_one_counts():
    value = b'{"request_id": "first", "request_id": "last", "messages": [{"role": "user", "content": "x"}]}'
    assert decode(REQUESTS, value, []).record.request_id == "last"


def test_many_problems_are_counted_and_not_listed():
    error = refusal(body(stream="x", min_tier=0, max_tier="x", timeout_ms=-1, tags=5, params=5, context=5))
    assert error.message.endswith("and 2 more")
    assert error.message.count(";") == 5


def test_one_bad_message_of_many_is_enough():
    assert len(refusal(body(messages=[0] * 1000)).message) < 200


def test_too_large_with_its_id_even_if_it_is_invalid():
    error = refusal(body(min_tier="x"), max_bytes=20)
    assert (error.reason, error.request_id) == ("too_large", "r1")
    assert refusal(b"[" * 50, max_bytes=20).reason == "too_large"
    assert decode(REQUESTS, body(), [], max_bytes=len(body())).record.request_id == "r1"


def test_the_schema_header_chooses_the_record():
    assert decode(REQUESTS, body(), [(SCHEMA_HEADER, None)]).record.request_id == "r1"
    assert decode(REQUESTS, body(), [(SCHEMA_HEADER, b"request/1")]).record.request_id == "r1"
    error = refusal(body(), (SCHEMA_HEADER, b"request/2"))
    assert (error.reason, error.request_id) == ("unknown_schema", "r1")
    assert "request/1" in error.message
    assert len(refusal(body(), (SCHEMA_HEADER, b"\xff\n" * 500)).message) < 400
    with pytest.raises(DecodeError, match="call-started/1, call-ended/1"):
        decode(CALLS, body(), [(SCHEMA_HEADER, b"request/1")])


def test_the_last_header_of_a_name_counts():
    assert header([("a", b"1"), ("b", b"2"), ("a", b"3"), ("a", None)], "a") == "3"
    assert header([], "a") is None


def test_unknown_fields_are_named_nested_ones_too():
    value = body(min_teir=2, params={"max_tokns": 5}, context={"role": 1, "user_role": "ceo"}, response_schema={"x": 1})
    assert decode(REQUESTS, value, []).unknown_fields == ("min_teir", "params.max_tokns", "context.role")


def test_where_nobody_else_writes_none_are_named():
    """What a newer version of ours has written is read as far as this one knows it."""
    for record in (new_task(), Settled(request_id="r1", revision=0, digest="d")):
        encoded = encode(record)
        newer = json.dumps(json.loads(encoded.value) | {"since_then": [{"x": 1}]}).encode()
        decoded = decode(SPECS[type(record)], newer, encoded.headers)
        assert (decoded.record, decoded.unknown_fields) == (record, ())


def test_unknown_fields_are_bounded():
    names = decode(REQUESTS, body(**{f"{n}-{'x' * 500}": n for n in range(100)}), []).unknown_fields
    assert len(names) == 20
    assert max(map(len, names)) == 100


def test_a_task_of_any_request_that_was_accepted_can_be_read():
    schema: dict[str, object] = {"type": "object"}
    for _ in range(60):
        schema = {"not": schema}
    task = new_task(new_request(response_schema=schema))
    encoded = encode(task)
    assert decode(tier_tasks(1), encoded.value, encoded.headers).record == task


def received(value: bytes | None, *, key: bytes | None = b"k", headers: tuple[tuple[str, bytes], ...] = ()):
    return SimpleNamespace(offset=5, timestamp=6, key=key, value=value, headers=headers)


def _letter(record):
    error = DecodeError("invalid", "broken", "r1")
    encoded = encode(dead_letter("classify", error, record, topic="llm.requests", partition=2, at=BASE))
    return decode(DEAD_LETTERS, encoded.value, encoded.headers).record, encoded


@settings(max_examples=examples(40))
@given(st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=20), st.binary(max_size=20))
def test_a_dead_letter_keeps_the_bytes(value, key, header_value):
    letter, encoded = _letter(received(value, key=key, headers=(("h", header_value),)))
    assert (letter.value, letter.key, letter.headers) == (value, key, (("h", header_value),))
    assert (letter.size, letter.truncated, encoded.key) == (len(value or b""), False, b"r1")


def test_a_dead_letter_of_the_largest_record_fits_into_its_topic():
    largest = 8 * 1024 * 1024
    letter, encoded = _letter(
        received(b"v" * largest, key=b"k" * largest, headers=(("a", b"x"), ("h", b"h" * largest)))
    )
    assert len(encoded.value) < largest
    assert (len(letter.value), letter.size, letter.truncated) == (KEPT_BYTES, largest, True)
    assert letter.headers == (("a", b"x"),)


@pytest.mark.parametrize(("value", "retries"), [(b"3", 3), (b"-1", 0), (b"x", 0), (b"", 0)])
def test_a_dead_letter_counts_retries(value, retries):
    assert _letter(received(b"", headers=((RETRIES_HEADER, value),)))[0].retries == retries


def test_a_dead_letter_without_an_id_is_known_by_its_place():
    letter = dead_letter("s", DecodeError("empty", "x"), received(None), topic="t", partition=2, at=BASE)
    assert letter.partition_key == "t:2:5"
