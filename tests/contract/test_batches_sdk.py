"""Files and batches as OpenAI's own client uses them."""

import asyncio
import json

import httpx2
import openai
import pytest
from support.batch_world import KEYS, BatchWorld, ending_of
from support.in_memory import home_of

from topics.requests import ServiceClass
from topics.results import ResultError, ResultStatus

CHAT = "/v1/chat/completions"


def line(custom_id: str, text: str = "What is 2 + 2?", url: str = CHAT, **body) -> dict:
    asked = {"model": "auto", "messages": [{"role": "user", "content": text}], **body}
    if url == "/v1/messages":
        asked["max_tokens"] = 10
    if url == "/v1/responses":
        asked = {"model": "auto", "input": text, **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def jsonl(*lines: dict) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


@pytest.fixture
async def world():
    made = BatchWorld(file_max_bytes=2_000_000, max_lines=1_000)
    async with made.following():
        yield made


def client_of(world: BatchWorld, name: str = "ann") -> openai.AsyncOpenAI:
    transport = httpx2.ASGITransport(app=world.app)
    http = httpx2.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(api_key=KEYS[name], base_url="http://door/v1", http_client=http, max_retries=0)


@pytest.fixture
async def client(world):
    async with client_of(world) as made:
        yield made


async def upload(client, data: bytes, name: str = "in.jsonl"):
    return await client.files.create(file=(name, data), purpose="batch")


async def batch_of(client, data: bytes, endpoint: str = CHAT, **more):
    file = await upload(client, data)
    return await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


async def read(client, file_id: str) -> list[dict]:
    return [json.loads(one) for one in (await client.files.content(file_id)).text.splitlines()]


@pytest.mark.parametrize("size", [0, 1, 700_000, 1_600_000])
async def test_a_file_comes_back_as_it_went(client, size):
    data = bytes(number * 7 % 256 for number in range(1000)) * (size // 1000) + b"\r\n"[: size % 1000]
    file = await upload(client, data)
    assert (file.bytes, file.filename, file.purpose) == (len(data), "in.jsonl", "batch")
    assert (await client.files.retrieve(file.id)) == file
    assert (await client.files.content(file.id)).content == data


async def download(world, file_id: str) -> list[dict]:
    """Return what the door sends as ASGI has it, to the end or not."""
    messages = []

    async def send(message):
        messages.append(message)

    headers = [(b"authorization", f"Bearer {KEYS['ann']}".encode())]
    path = f"/v1/files/{file_id}/content"
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    await world.app(scope, asyncio.Event().wait, send)
    return messages


async def test_a_download_whose_rest_is_no_longer_kept_is_broken_off(world, client):
    file = await upload(client, bytes(1_600_000))
    del world.log.stored["llm.files", home_of(file.id)][1:]
    start, first = await download(world, file.id)
    assert (start["status"], len(first["body"]), first["more_body"]) == (200, 768 * 1024, True)


async def test_a_file_that_is_no_longer_kept_is_not_found(world, client):
    file = await upload(client, b"data")
    world.log.stored["llm.files", home_of(file.id)].clear()
    with pytest.raises(openai.NotFoundError):
        await client.files.content(file.id)


async def test_files_are_listed_the_newest_first_and_deleted(world, client):
    first = await upload(client, b"1")
    world.clock.advance(1)
    second = await upload(client, b"2")
    assert [file.id async for file in client.files.list()] == [second.id, first.id]
    assert [file.id async for file in client.files.list(limit=1)] == [second.id, first.id]
    assert (await client.files.delete(first.id)).deleted
    assert [file.id async for file in client.files.list()] == [second.id]
    with pytest.raises(openai.NotFoundError):
        await client.files.content(first.id)


async def test_a_batch_is_answered_in_the_order_of_its_lines(world, client):
    batch = await batch_of(client, jsonl(*(line(f"c{n}", f"q{n}") for n in range(20))), metadata={"run": "nightly"})
    assert (batch.status, batch.request_counts.total, batch.metadata) == ("in_progress", 20, {"run": "nightly"})
    await world.serve(batch.id)
    done = await client.batches.retrieve(batch.id)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert (done.request_counts.completed, done.request_counts.failed) == (20, 0)
    lines = await read(client, done.output_file_id)
    assert [one["custom_id"] for one in lines] == [f"c{n}" for n in range(20)]
    for number, one in enumerate(lines):
        answer = openai.types.chat.ChatCompletion.model_validate(one["response"]["body"])
        assert answer.choices[0].message.content == f"echo: q{number}"
        assert (one["response"]["status_code"], one["error"]) == (200, None)


async def test_requests_of_a_batch_are_bulk_and_have_what_the_key_says(world, client):
    batch = await batch_of(client, jsonl(line("a")))
    await world.serve(batch.id)
    [request] = world.sent()
    assert (request.service_class, request.feature) == (ServiceClass.BULK, "nightly")
    assert request.request_id == f"ann:{batch.id}-0"


@pytest.mark.parametrize("url", ["/v1/messages", "/v1/responses"])
async def test_other_apis_have_batches_too(world, client, url):
    batch = await batch_of(client, jsonl(line("a", url=url)), endpoint=url)
    await world.serve(batch.id)
    [one] = await read(client, (await client.batches.retrieve(batch.id)).output_file_id)
    body = one["response"]["body"]
    text = body["content"][0] if url == "/v1/messages" else body["output"][0]["content"][0]
    assert text["text"] == "echo: What is 2 + 2?"


async def test_what_has_no_answer_is_in_a_file_of_its_own(world, client):
    def ending(request):
        error = ResultError(code="deadline", message="its time was up")
        return ending_of(request) if request.question == "good" else {"status": ResultStatus.EXPIRED, "error": error}

    world.ending = ending
    batch = await batch_of(client, jsonl(line("a", "good"), line("b", "bad"), line("c", n=2), line("d", stream=True)))
    await world.serve(batch.id)
    done = await client.batches.retrieve(batch.id)
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 3)
    assert [one["custom_id"] for one in await read(client, done.output_file_id)] == ["a"]
    late, refused, streams = await read(client, done.error_file_id)
    assert (late["custom_id"], late["response"]["status_code"]) == ("b", 504)
    assert (refused["response"]["status_code"], refused["response"]["body"]["error"]["param"]) == (400, "n")
    assert streams["response"]["body"]["error"]["param"] == "stream"
    listed = [file.id async for file in client.files.list(purpose="batch_output")]
    assert sorted(listed) == sorted([done.output_file_id, done.error_file_id])


@pytest.mark.parametrize(
    ("data", "code", "number"),
    [
        (b"", "empty_file", None),
        (jsonl(line("a")) + b"\n{nonsense\n", "invalid_json_line", 3),
        (jsonl(line("a"), line("a")), "duplicate_custom_id", 2),
        (jsonl(line("a", url="/v1/embeddings")), "mismatched_endpoint", 1),
        (jsonl({**line("a"), "method": "GET"}), "invalid_method", 1),
        (jsonl({**line("a"), "custom_id": 7}), "invalid_custom_id", 1),
        (jsonl({**line("a"), "body": []}), "invalid_body", 1),
        (jsonl(*(line(str(number)) for number in range(1_001))), "too_many_lines", 1_001),
    ],
)
async def test_a_file_that_is_not_of_the_form_fails_the_batch(world, client, data, code, number):
    batch = await batch_of(client, data)
    assert (batch.status, batch.request_counts.total, batch.output_file_id) == ("failed", 0, None)
    [error] = batch.errors.data
    assert (error.code, error.line) == (code, number)
    assert not world.sent()


async def test_a_cancelled_batch_keeps_what_was_answered(world, client):
    batch = await batch_of(client, jsonl(*(line(f"c{n}") for n in range(20))))
    cancelling = await client.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.cancelled_at) == ("cancelling", None)
    await world.serve(batch.id)
    done = await client.batches.retrieve(batch.id)
    assert (done.status, done.request_counts.failed) == ("cancelled", 20 - done.request_counts.completed)
    errors = await read(client, done.error_file_id)
    assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}


async def test_a_batch_that_has_ended_can_not_be_cancelled(world, client):
    batch = await batch_of(client, jsonl(line("a")))
    await world.serve(batch.id)
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(batch.id)


async def test_batches_are_listed_a_page_at_a_time(world, client):
    made = []
    for _ in range(3):
        made.append((await batch_of(client, jsonl(line("a")))).id)
        world.clock.advance(1)
    assert [batch.id async for batch in client.batches.list(limit=2)] == made[::-1]


async def test_a_repeat_under_the_same_key_finds_the_batch(world, client):
    data = jsonl(line("a"))
    headers = {"Idempotency-Key": "once"}
    first, again = [await batch_of(client, data, extra_headers=headers) for _ in range(2)]
    assert first.id == again.id


async def test_nobody_sees_what_is_somebody_elses(world, client):
    batch = await batch_of(client, jsonl(line("a")))
    await world.serve(batch.id)
    done = await client.batches.retrieve(batch.id)
    async with client_of(world, "bob") as other:
        for call in (
            other.batches.retrieve(batch.id),
            other.batches.cancel(batch.id),
            other.files.retrieve(batch.input_file_id),
            other.files.content(done.output_file_id),
            other.files.delete(done.output_file_id),
            other.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError):
                await call
        assert [file async for file in other.files.list()] == []
        assert [one async for one in other.batches.list()] == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"a": "b" * 600}}, "metadata"),
    ],
)
async def test_what_a_batch_can_not_be_made_of_is_refused(client, change, param):
    file = await upload(client, jsonl(line("a")))
    asked = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **change}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.batches.create(**asked)
    assert refused.value.param == param


async def test_files_for_anything_else_are_refused(client):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.files.create(file=b"data", purpose="assistants")
    assert refused.value.param == "purpose"


async def test_files_that_are_too_large_are_refused(world, client):
    with pytest.raises(openai.APIStatusError) as refused:
        await upload(client, bytes(2_000_001))
    assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")
    assert [file async for file in client.files.list()] == []
