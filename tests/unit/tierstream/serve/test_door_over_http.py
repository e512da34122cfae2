"""The door as its clients see it: answers, streams, errors, and what is no HTTP at all."""

import asyncio
import json
from uuid import UUID

import httpx
import pytest
from support.door_world import DoorWorld, until
from support.plain_surface import events_in

from streams.config.settings import Settings
from streams.kafka.publisher import Output
from tierstream.serve.keys import KeyEntry, hash_of
from topics.messages import Message
from topics.registry import REQUESTS

KEY = "ts-a-key-that-nobody-would-guess"
PATH = "/v1/chat/completions"


def settings(**serve) -> Settings:
    return Settings(serve={"heartbeat_s": 0.05, "drain_timeout_s": 0, **serve})


@pytest.fixture
async def world():
    return DoorWorld(settings())


@pytest.fixture
async def client(world):
    async with world.serving() as url, httpx.AsyncClient(base_url=url, timeout=20) as http:
        yield http


async def raw(client, data: bytes) -> bytes:
    """Send bytes, and return what comes until the door closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_body_becomes_a_request_and_its_result_the_answer(world, client):
    world.answer_all("Paris")
    response = await client.post(PATH, json={"text": "Capital of France?"})
    [(request, _)] = world.sender.sent
    assert (response.status_code, response.json()["text"]) == (200, "Paris")
    assert response.headers["x-request-id"] == request.request_id
    assert (request.question, request.stream) == ("Capital of France?", False)


async def test_the_other_vendor_names_the_id_otherwise(world, client):
    world.answer_all()
    response = await client.post("/v1/messages", json={"text": "?"})
    assert response.headers["request-id"] == world.sender.sent[0][0].request_id


@pytest.mark.parametrize(
    ("status", "code", "http"),
    [
        ("rejected", "invalid", 400),
        ("rejected", "budget", 429),
        ("rejected", "too_large", 413),
        ("failed", "no_provider", 502),
        ("expired", "deadline", 504),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_what_has_no_answer_has_a_status(world, client, status, code, http, streams):
    error = {"code": code, "message": "this is why"}
    world.sender.on_request = lambda request, place: world.settle(
        request, place, status=status, content=None, error=error
    )
    response = await client.post(PATH, json={"text": "?", "stream": streams})
    assert (response.status_code, response.json()["error"]["message"]) == (http, "this is why")
    assert response.headers["x-should-retry"] == "false"


async def test_a_stream_shows_pieces_as_they_come_and_the_rest_from_the_result(world, client):
    async with client.stream("POST", PATH, json={"text": "?", "stream": True}) as response:
        request, place = await asyncio.wait_for(world.sender.came(1), 10)
        assert request.stream
        lines = response.aiter_lines()
        world.chunk(request, 0, "Par")
        seen = [await anext(lines) for _ in range(4)]
        world.settle(request, place, "Paris")
        seen += [line async for line in lines]
    assert response.headers["content-type"].startswith("text/event-stream")
    shown = events_in("\n".join(seen))
    assert [next(iter(event)) for event in shown] == ["begin", "piece", "piece", "end"]
    assert [event["piece"] for event in shown[1:-1]] == ["Par", "is"]


async def test_a_stream_that_contradicts_itself_ends_with_an_error(world, client):
    def answer(request, place):
        world.chunk(request, 0, "London")
        world.chunk(request, 0, "Paris", call=UUID(int=2))

    world.sender.on_request = answer
    response = await client.post(PATH, json={"text": "?", "stream": True})
    assert events_in(response.text)[-1] == {"error": "stream_restarted"}


async def test_a_silent_stream_says_that_it_lives(world, client):
    async with client.stream("POST", PATH, json={"text": "?", "stream": True}) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line == ": alive":
                break


async def test_checked_streams_show_nothing_before_the_result():
    world = DoorWorld(settings(streaming="checked"))
    world.answer_all("Paris")
    async with world.serving() as url, httpx.AsyncClient(base_url=url) as client:
        response = await client.post(PATH, json={"text": "?", "stream": True})
    assert not world.sender.sent[0][0].stream
    assert [event.get("piece") for event in events_in(response.text)] == [None, "Paris", None]


async def test_the_same_key_has_the_same_answer(world, client):
    world.answer_all("Paris")
    first = await client.post(PATH, json={"text": "?"}, headers={"idempotency-key": "k"})
    world.sender.on_request = lambda request, place: None
    again = await client.post(PATH, json={"text": "?"}, headers={"idempotency-key": "k"})
    other = await client.post(PATH, json={"text": "!"}, headers={"idempotency-key": "k"})
    assert first.json()["text"] == again.json()["text"] == "Paris"
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


async def test_a_result_that_was_read_before_anybody_waited_is_found_by_its_marker(world, client):
    def settled_by_now(request, place):
        world.settle(request, place, "Paris", told=False)

    world.sender.on_request = settled_by_now
    response = await client.post(PATH, json={"text": "?"}, headers={"idempotency-key": "k"})
    assert response.json()["text"] == "Paris"


@pytest.mark.parametrize(("text", "status"), [("?", 200), ("!", 422)])
async def test_what_another_door_has_sent_under_the_key_counts_with_the_same_body_only(world, client, text, status):
    def another_was_first(request, place):
        theirs = request.model_copy(update={"messages": (Message(role="user", content=text),)})
        world.settle(theirs, world.log.append(Output(REQUESTS, theirs)), "theirs")

    world.sender.on_request = another_was_first
    response = await client.post(PATH, json={"text": "?"}, headers={"idempotency-key": "k"})
    assert response.status_code == status
    assert ("theirs" in response.text) == (status == 200)


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({}, b"{", 400),
        ({}, b'{"text": "\xff"}', 400),
        ({}, b'{"text": "\\ud800"}', 400),
        ({}, b"[]", 400),
        ({}, b'{"text": ' + b"[" * 150 + b"]" * 150 + b"}", 400),
        ({}, b"[" * 5000, 400),
        ({}, b"{}", 400),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({"content-type": "application/json; charset=latin-1"}, b"{}", 415),
        ({"content-encoding": "gzip"}, b"{}", 415),
        ({"idempotency-key": "x" * 201}, b'{"text": "?"}', 400),
        ({"idempotency-key": ""}, b'{"text": "?"}', 400),
        ({}, b" " * (1024 * 1024 + 1), 413),
        ({"x-large": "x" * 40_000}, b"{}", 431),
        ({}, b'{"text": "?", "model": "auto", "stream": false, "model": "tier-9"}', 200),
    ],
)
async def test_bodies_and_headers_that_are_not_served_are_refused_by_status(world, client, headers, content, status):
    world.answer_all()
    response = await client.post(PATH, content=content, headers={"content-type": "application/json", **headers})
    assert response.status_code == status
    assert status == 200 or not world.sender.sent


async def test_a_body_of_chunks_is_measured_too(client):
    async def endless():
        for _ in range(40):
            yield b" " * 65_536

    response = await client.post(PATH, content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("POST", "/v1/nothing", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/models/nothing", 404),
        ("GET", "/v1/models/auto", 200),
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
    ],
)
async def test_addresses(client, method, path, status):
    response = await client.request(method, path)
    assert response.status_code == status
    if path.startswith("/v1") and status != 200:
        assert response.json()["error"]["message"]


async def test_headers_that_came_twice_are_refused(client):
    twice = [("idempotency-key", "a"), ("idempotency-key", "b")]
    response = await client.post(PATH, json={"text": "?"}, headers=twice)
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 100_000, b"431"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n", b"501"),
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(client, data, status):
    head, _, body = (await raw(client, data)).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == status
    assert json.loads(body)["error"]["message"]


async def test_a_request_id_can_not_smuggle_headers(world, client):
    world.answer_all()
    data = b'{"text": "?"}'
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"idempotency-key: a\rset-cookie: x\r\ncontent-length: %d\r\n\r\n" % len(data)
    )
    answer = await raw(client, head + data)
    assert b" 400 " in answer.splitlines()[0]
    assert b"set-cookie" not in answer


async def test_names_of_other_sites_are_not_answered_to(client):
    response = await client.post(PATH, json={"text": "?"}, headers={"host": "evil.example"})
    assert response.status_code == 421


async def test_slow_clients_are_let_go_and_leave_room_for_others():
    world = DoorWorld(settings(header_timeout_s=0.3, body_timeout_s=0.3, max_connections=250))
    world.answer_all()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"
    async with world.serving() as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        port = client.base_url.port
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for number, (_, writer) in enumerate(slow):
            writer.write((b"", b"POST /v1", head)[number % 3])
        good = await client.post(PATH, json={"text": "?"})
        assert good.status_code == 200
        answers = [await asyncio.wait_for(reader.read(), 20) for reader, _ in slow]
        for _, writer in slow:
            writer.close()
    assert {answer.split(b" ")[1] for answer in answers} == {b"408"}


async def test_a_header_that_comes_drop_by_drop_has_no_more_time_than_others():
    world = DoorWorld(settings(header_timeout_s=0.3))
    async with world.serving() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        answer = asyncio.create_task(reader.read())
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        while not answer.done():
            writer.write(b"y")
            await asyncio.wait([answer], timeout=0.05)
        writer.close()
    assert b" 408 " in answer.result().splitlines()[0]


async def test_a_client_that_takes_nothing_is_let_go():
    world = DoorWorld(settings(write_timeout_s=0.3))
    world.answer_all("x" * 30_000_000)
    data = b'{"text": "?"}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(data)
    async with world.serving() as url:
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port, limit=1024)
        writer.write(head + data)
        await world.sender.came(1)
        counted = 'tierstream_door_requests_total{status="200",surface="chat_completions"} 1.0'
        await until(lambda: counted in world.monitoring.exposition().decode())
        writer.close()


async def test_too_many_connections_are_refused():
    world = DoorWorld(settings(max_connections=2))
    async with world.serving() as url:
        port = httpx.URL(url).port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        answer = await asyncio.wait_for(held[2][0].read(), 10)
        for _, writer in held:
            writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer


async def test_too_many_who_wait_are_told_to_come_back():
    world = DoorWorld(settings(max_waiting=1))
    async with world.serving() as url, httpx.AsyncClient(base_url=url) as client:
        first = asyncio.create_task(client.post(PATH, json={"text": "?"}))
        request, place = await world.sender.came(1)
        second = await client.post(PATH, json={"text": "?"})
        world.settle(request, place)
        assert (await first).status_code == 200
    assert (second.status_code, second.headers["retry-after"]) == (503, "1")


async def test_who_waits_when_the_door_closes_is_told_to_come_back(world, client):
    waiting = asyncio.create_task(client.post(PATH, json={"text": "?"}))
    await world.sender.came(1)
    stream = asyncio.create_task(client.post(PATH, json={"text": "?", "stream": True}))
    request, _ = await world.sender.came(2)
    world.chunk(request, 0, "Par")
    await until(lambda: world.board.waiting == 2)
    world.door.close()
    response = await waiting
    assert (response.status_code, response.headers["x-should-retry"]) == (503, "true")
    assert events_in((await stream).text)[-1] == {"error": "restarting"}
    assert (await client.get("/readyz")).status_code == 503


async def test_who_goes_away_makes_room(world, client):
    waiting = asyncio.create_task(client.post(PATH, json={"text": "?"}))
    await world.sender.came(1)
    waiting.cancel()
    await until(lambda: not world.board.waiting)


@pytest.fixture
def keyed():
    entries = [
        KeyEntry(name="ann", sha256=hash_of(KEY), user="ann", feature="chat", tags=("t",), rpm=2),
        KeyEntry(name="bob", sha256=hash_of(KEY + "!")),
    ]
    return DoorWorld(settings(), entries)


async def test_a_key_says_who_asks_and_how_much(keyed):
    keyed.answer_all()
    async with keyed.serving() as url, httpx.AsyncClient(base_url=url) as client:
        none = await client.post(PATH, json={"text": "?"})
        wrong = await client.post(PATH, json={"text": "?"}, headers={"x-api-key": "ts-wrong"})
        asked = [await client.post("/v1/messages", json={"text": "?"}, headers={"x-api-key": KEY}) for _ in range(3)]
        other = await client.post(PATH, json={"text": "?"}, headers={"authorization": f"Bearer {KEY}!"})
        metrics = await client.get("/metrics")
    assert [none.status_code, wrong.status_code, metrics.status_code] == [401, 401, 401]
    assert none.headers["www-authenticate"] == "Bearer"
    assert [one.status_code for one in asked] == [200, 200, 429]
    assert asked[0].headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert int(asked[2].headers["retry-after"]) >= 1
    assert other.status_code == 200
    request = keyed.sender.sent[0][0]
    assert (request.user_id, request.feature, request.tags) == ("ann", "chat", ("t",))
    assert request.request_id.startswith("ann:")


async def test_the_same_idempotency_key_of_two_callers_is_two_requests(keyed):
    keyed.answer_all()
    async with keyed.serving() as url, httpx.AsyncClient(base_url=url) as client:
        for key in (KEY, KEY + "!"):
            headers = {"authorization": f"Bearer {key}", "idempotency-key": "same"}
            assert (await client.post(PATH, json={"text": key}, headers=headers)).status_code == 200
    assert [request.request_id for request, _ in keyed.sender.sent] == ["ann:same", "bob:same"]


async def test_a_fault_of_ours_is_no_text_of_theirs_in_the_log(world, client, caplog):
    def fail(request, place):
        raise ValueError(request.question)

    world.sender.on_request = fail
    response = await client.post(PATH, json={"text": "a secret"})
    assert response.status_code == 500
    assert "ValueError" in caplog.text
    assert "a secret" not in caplog.text + response.text
