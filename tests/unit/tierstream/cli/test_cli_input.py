"""Requests as people write them: what is accepted, and how errors name the place."""

import gzip
import json

import pytest

from tierstream.client.request_file import InputError, check_file, random_id, read_lines
from tierstream.client.run_output import RunOutput
from topics.requests import Request

LIMIT = 10_000


def write(path, *lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def check(path, **options):
    return check_file(path, **{"run_id": None, "max_bytes": LIMIT, **options})


def test_a_prompt_is_enough(tmp_path):
    checked = check(write(tmp_path / "in", {"prompt": "Hi"}, "", {"request_id": "a", "prompt": "Ho", "tags": ["x"]}))
    first, second = checked.requests()
    assert first.question == "Hi"
    assert second.request_id == "a"
    assert second.tags == ("x",)
    assert checked.ids == {first.request_id, "a"}


def test_ids_follow_from_the_content_and_the_line(tmp_path):
    lines = [{"prompt": "same"}, {"prompt": "same"}]
    one = check(write(tmp_path / "one", *lines))
    again = check(write(tmp_path / "again", *lines))
    other = check(write(tmp_path / "other", *lines, {"prompt": "more"}))
    named = check(tmp_path / "one", run_id="mine")
    assert len(one.ids) == 2
    assert one.ids == again.ids
    assert not one.ids & other.ids
    assert not one.ids & named.ids
    assert named.ids == check(tmp_path / "other", run_id="mine").ids - {
        r.request_id for r in list(check(tmp_path / "other", run_id="mine").requests())[2:]
    }


def test_gzip_is_the_same_run(tmp_path):
    plain = write(tmp_path / "in.jsonl", {"prompt": "Hi"})
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert check(tmp_path / "in.jsonl.gz").ids == check(plain).ids


def test_a_broken_gzip_file_is_named(tmp_path):
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "Hi"}\n' * 100)[:-12])
    with pytest.raises(InputError, match=r"in\.gz: broken gzip file"):
        check(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: not a JSON object"),
        ('{"prompt": NaN}', "line 2: not JSON"),
        ({}, "line 2: messages: Field required"),
        ({"prompt": 3}, "line 2: messages.0.content"),
        ({"prompt": "a", "messages": []}, "line 2: prompt: give either prompt or messages"),
        ({"prompt": "a", "context": {"business_impact": "huge"}}, "line 2: context.business_impact: "),
        ({"prompt": "a", "request_id": ""}, "line 2: request_id: "),
        ({"prompt": "a", "max_cost_usd": -1}, "line 2: max_cost_usd: "),
        ({"prompt": "a", "request_id": "first"}, "line 2: request_id: the same as on line 1"),
        ({"prompt": "a" * LIMIT}, "line 2: the request has .* bytes, at most 10000 are accepted"),
    ],
)
def test_an_error_names_line_and_field_and_never_the_text(tmp_path, line, message):
    path = write(tmp_path / "in.jsonl", {"request_id": "first", "prompt": "secret"}, line)
    with pytest.raises(InputError, match=message) as caught:
        check(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no request"):
        check(write(tmp_path / "in", "", " "))


def test_typing_errors_are_gathered(tmp_path):
    checked = check(
        write(tmp_path / "in", {"prompt": "a"}, {"prompt": "b", "min_teir": 2}, {"prompt": "c", "min_teir": 2})
    )
    assert checked.unknown_fields.describe() == "min_teir (line 2 and 1 more)"


def test_lines_without_an_id_get_random_ones():
    lines = [b'{"prompt": "a"}\n', b'{"prompt": "a"}']
    ids = {line.request.request_id for line in read_lines(lines, "stdin", random_id, LIMIT)}
    assert len(ids) == 2


def test_an_output_is_of_one_run(tmp_path):
    path = tmp_path / "out.jsonl"
    with RunOutput(path, run_id="one", prefix="llm.") as output:
        started = output.started_at
        with pytest.raises(InputError, match="another run is writing"), RunOutput(path, run_id="one", prefix="llm."):
            pass
    with RunOutput(path, run_id="one", prefix="llm.") as output:
        assert output.started_at == started
    with pytest.raises(InputError, match="belongs to another run"), RunOutput(path, run_id="two", prefix="llm."):
        pass


def test_a_file_that_is_no_output_is_left_alone(tmp_path):
    path = write(tmp_path / "precious", {"my": "data"})
    before = path.read_bytes()
    with pytest.raises(InputError, match="is not the output of a run"), RunOutput(path, run_id="one", prefix="llm."):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [b"", b"{}\n", b"{}\n" * 30_000])
@pytest.mark.parametrize("rest", [b"", b'{"request', b"x" * 200_000])
def test_a_partial_last_line_is_dropped(tmp_path, kept, rest):
    path = tmp_path / "out.jsonl"
    with RunOutput(path, run_id="one", prefix="llm."):
        path.write_bytes(kept + rest)
    with RunOutput(path, run_id="one", prefix="llm."):
        assert path.read_bytes() == kept


def test_a_line_that_is_no_result_is_named(tmp_path):
    path = tmp_path / "out.jsonl"
    with RunOutput(path, run_id="one", prefix="llm.") as output:
        path.write_bytes(b"{}\n")
        with pytest.raises(InputError, match="line 1: not a result"):
            output.written(lambda _: None)


def test_requests_are_the_contracts(tmp_path):
    checked = check(write(tmp_path / "in", {"messages": [{"role": "user", "content": "Hi"}]}))
    assert [type(request) for request in checked.requests()] == [Request]
