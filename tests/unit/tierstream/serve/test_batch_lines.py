"""Lines of batches on their way in and out, and lists a part at a time."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from support.batch_world import ending_of
from support.examples import examples
from support.in_memory import BASE, SETTINGS, new_request
from support.plain_surface import PlainSurface

from streams.config.settings import Settings
from tierstream.serve.batches.input_lines import LineReader, lines_of
from tierstream.serve.batches.objects import batch_of, result_files
from tierstream.serve.batches.output_lines import LineWriter
from tierstream.serve.batches.paging import page
from tierstream.serve.surface import Caller, DoorError
from tierstream.serve.targets import DeploymentTargets
from topics.batches import Batch, BatchEnded, BatchLine, BatchStatus, Refusal
from topics.requests import ServiceClass
from topics.results import CANCELLED, Result, ResultError, ResultStatus
from topics.tasks import Source

LOADED = Settings(**SETTINGS, kafka={"request_max_bytes": 2048}, serve={"models": {"*": ""}})
URL = "/v1/chat/completions"


async def pieces(data: bytes, cuts):
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(places):
        yield data[start:end]


@settings(max_examples=examples(200))
@given(
    lines=st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")), max_size=8),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    ends=st.booleans(),
)
async def test_lines_are_the_same_wherever_the_data_is_cut(lines, cuts, ends):
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    found = [found async for found in lines_of(pieces(data, cuts), 100)]
    assert found == [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


@settings(max_examples=examples(50))
@given(cuts=st.lists(st.integers(0, 60), max_size=6))
async def test_of_a_line_that_is_too_long_no_more_is_kept_than_may_be(cuts):
    data = b"a" * 30 + b"\nb\n" + b"c" * 40
    found = [found async for found in lines_of(pieces(data, cuts), 10)]
    assert found == [(1, b"a" * 10), (2, b"b"), (3, b"c" * 10)]


def reader(**caller) -> LineReader:
    return LineReader(
        PlainSurface(),
        URL,
        caller=Caller(**caller),
        targets=DeploymentTargets(LOADED),
        request_prefix="batch_1",
        settings=LOADED,
        now_s=0,
    )


def line(custom_id="a", **body) -> bytes:
    asked = {"model": "auto", "text": "What?", **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": URL, "body": asked}).encode()


def test_a_line_becomes_a_request_that_nobody_waits_for():
    read = reader(feature="nightly").read(1, line(model="tier-2"))
    request = read.request
    assert (read.custom_id, read.model, read.refusal) == ("a", "tier-2", None)
    assert (request.request_id, request.service_class, request.stream) == ("batch_1-0", ServiceClass.BULK, False)
    assert (request.feature, request.min_tier, request.max_tier) == ("nightly", 2, 2)


def test_requests_are_numbered_by_the_lines_that_are_of_the_form():
    made = reader()
    read = [made.read(number, text) for number, text in ((1, line("a")), (2, b"{"), (5, line("b")))]
    assert [one and one.request.request_id for one in read] == ["batch_1-0", None, "batch_1-1"]
    assert [(error.code, error.line) for error in made.errors] == [("invalid_json_line", 2)]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "none"}, 404, "model"),
        ({"stream": True}, 400, "stream"),
        ({"text": "long" * 600}, 413, None),
    ],
)
def test_a_body_that_is_not_taken_fails_its_line_alone(body, status, param):
    made = reader()
    read = made.read(1, line(**body))
    assert (read.request, read.refusal.status, read.refusal.param) == (None, status, param)
    assert (made.count, made.errors) == (1, [])


@given(text=st.binary(max_size=60))
@settings(max_examples=examples(100))
def test_whatever_stands_in_a_line_is_an_error_that_does_not_repeat_it(text):
    made = reader()
    assert made.read(1, b"\xff" + text) is None
    assert [error.code for error in made.errors] == ["invalid_json_line"]


BATCH = Batch(
    batch_id="batch_1",
    owner="",
    input_file_id="file-1",
    endpoint=URL,
    request_prefix="batch_1",
    total=3,
    stretches=(),
    created_at=BASE,
    expires_at=BASE,
)
ASKED = BatchLine(custom_id="a", model="auto", request=new_request(request_id="batch_1-0"))


def result_of(**ending) -> Result:
    source = Source(topic="llm.requests", partition=2, offset=5, timestamp_ms=9_000)
    known = {"request_id": "batch_1-0", "cost_usd": 0, "source": source, "latency_ms": 1, "settled_at": BASE}
    return Result.model_validate({**known, **ending})


def written(status: BatchStatus, asked: BatchLine, result: Result | None, *, had_result: bool = True) -> dict:
    text = LineWriter(BATCH, status, PlainSurface()).write(0, asked, result, had_result=had_result)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    return json.loads(text)


def test_an_answer_is_what_its_api_would_have_said():
    found = written(BatchStatus.COMPLETED, ASKED, result_of(**ending_of(ASKED.request)))
    assert (found["id"], found["custom_id"], found["error"]) == ("batch_req_1_0", "a", None)
    assert (found["response"]["status_code"], found["response"]["request_id"]) == (200, "batch_1-0")
    assert found["response"]["body"]["text"] == "echo: What is 2 + 2?"


def test_a_refusal_is_what_its_api_would_have_said():
    refusal = Refusal(status=400, code="bad", message="it is bad", param="text")
    found = written(BatchStatus.COMPLETED, BatchLine(custom_id="a", refusal=refusal), None, had_result=False)
    assert (found["response"]["status_code"], found["error"]) == (400, None)
    assert found["response"]["body"]["error"]["param"] == "text"


CALLED_OFF = {"status": ResultStatus.REJECTED, "error": ResultError(code=CANCELLED, message="cancelled")}


@pytest.mark.parametrize(
    ("status", "result", "had_result", "code"),
    [
        (BatchStatus.EXPIRED, None, False, "batch_expired"),
        (BatchStatus.CANCELLED, None, False, "batch_cancelled"),
        (BatchStatus.CANCELLED, result_of(**CALLED_OFF), True, "batch_cancelled"),
        (BatchStatus.CANCELLED, None, True, "result_expired"),
        (BatchStatus.COMPLETED, None, True, "result_expired"),
    ],
)
def test_what_was_not_answered_says_why(status, result, had_result, code):
    found = written(status, ASKED, result, had_result=had_result)
    assert (found["response"], found["error"]["code"]) == (None, code)


def test_who_cancels_a_line_by_other_means_finds_its_error():
    assert written(BatchStatus.COMPLETED, ASKED, result_of(**CALLED_OFF))["response"]["status_code"] == 409


@pytest.mark.parametrize(
    ("status", "completed", "failed", "endings"),
    [
        (BatchStatus.COMPLETED, 3, 0, ["-output"]),
        (BatchStatus.COMPLETED, 0, 3, ["-errors"]),
        (BatchStatus.EXPIRED, 1, 2, ["-output", "-errors"]),
        (BatchStatus.FAILED, 0, 0, []),
    ],
)
def test_a_batch_has_files_for_what_there_is(status, completed, failed, endings):
    ended = BatchEnded(batch_id="batch_1", status=status, completed=completed, failed=failed, at=BASE)
    found = [file.file_id for file in result_files("batch_1", ended)]
    assert found == [f"file-1{ending}" for ending in endings]
    assert [batch_of(file_id) for file_id in found] == [("batch_1", ending == "-output") for ending in endings]


def test_other_files_are_of_no_batch():
    assert batch_of("file-1") is None
    assert batch_of("batch_1-output") is None


@given(count=st.integers(0, 12), limit=st.integers(1, 5))
def test_all_pages_together_are_the_list(count, limit):
    found = [{"id": str(number)} for number in range(count)]
    collected, query = [], {"limit": str(limit)}
    while True:
        part = page(found, QueryParams(query), usual=3, most=5)
        collected += part["data"]
        if not part["has_more"]:
            break
        query["after"] = part["last_id"]
    assert collected == found


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "6"}, {"limit": "many"}, {"after": "nobody"}])
def test_a_query_that_means_nothing_is_refused(query):
    with pytest.raises(DoorError) as refused:
        page([{"id": "a"}], QueryParams(query), usual=3, most=5)
    assert refused.value.param in query
