"""The door as its clients see it: answers, streams, errors and keys."""

import asyncio
from uuid import UUID

import httpx
import pytest
from support.door_world import DoorWorld, door_settings, until
from support.plain_surface import events_in

from streams.kafka.publisher import Output
from tierstream.serve.keys import KeyEntry, hash_of
from topics.feedback import Cancellation
from topics.messages import Message
from topics.registry import REQUESTS

KEY = "ts-a-key-that-nobody-would-guess"
PATH = "/v1/chat/completions"


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
        assert (request.stream, request.final_once_shown) == (True, True)
        lines = response.aiter_lines()
        world.chunk(request, 0, "Par")
        seen = [await anext(lines) for _ in range(4)]
        world.settle(request, place, "Paris")
        seen += [line async for line in lines]
    assert response.headers["content-type"].startswith("text/event-stream")
    shown = events_in("\n".join(seen))
    assert [next(iter(event)) for event in shown] == ["begin", "piece", "piece", "end"]
    assert [event["piece"] for event in shown[1:-1]] == ["Par", "is"]


async def test_chunks_that_the_result_has_overtaken_are_shown_one_by_one(world, client):
    def answer(request, place):
        world.chunk(request, 0, "Par")
        world.settle(request, place, "Paris!")
        world.chunk(request, 1, "is")
        world.chunk(request, 2, "!", kind="done")

    world.sender.on_request = answer
    response = await client.post(PATH, json={"text": "?", "stream": True})
    shown = [event["piece"] for event in events_in(response.text) if "piece" in event]
    assert shown == ["Par", "is", "!"]


async def test_all_chunks_may_be_overtaken(world, client):
    def answer(request, place):
        world.settle(request, place, "Paris")
        world.chunk(request, 0, "Par")
        world.chunk(request, 1, "is", kind="done")

    world.sender.on_request = answer
    response = await client.post(PATH, json={"text": "?", "stream": True})
    assert [event["piece"] for event in events_in(response.text) if "piece" in event] == ["Par", "is"]


async def test_chunks_that_never_come_are_not_waited_for(world, client):
    def answer(request, place):
        world.chunk(request, 0, "Par")
        world.settle(request, place, "Paris!")

    world.sender.on_request = answer
    response = await client.post(PATH, json={"text": "?", "stream": True})
    shown = [event["piece"] for event in events_in(response.text) if "piece" in event]
    assert shown == ["Par", "is!"]


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
    world = DoorWorld(door_settings(streaming="checked"))
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
    assert first.json() == again.json()
    assert first.json()["text"] == "Paris"
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


async def test_too_many_who_wait_are_told_to_come_back():
    world = DoorWorld(door_settings(max_waiting=1))
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


@pytest.mark.parametrize(("on_disconnect", "cancelled"), [("keep", 0), ("cancel", 1)])
async def test_who_goes_away_makes_room(on_disconnect, cancelled):
    world = DoorWorld(door_settings(on_disconnect=on_disconnect))
    async with world.serving() as url, httpx.AsyncClient(base_url=url) as client:
        waiting = asyncio.create_task(client.post(PATH, json={"text": "?"}))
        request, _ = await world.sender.came(1)
        waiting.cancel()
        await until(lambda: 'status="499"' in world.monitoring.exposition().decode())
    assert not world.board.waiting
    found = [record for record in world.log.published if isinstance(record, Cancellation)]
    assert [one.request_id for one in found] == [request.request_id] * cancelled


async def test_what_somebody_else_waits_for_is_not_cancelled():
    world = DoorWorld(door_settings(on_disconnect="cancel"))
    async with world.serving() as url, httpx.AsyncClient(base_url=url) as client:
        first, second = (
            asyncio.create_task(client.post(PATH, json={"text": "?"}, headers={"idempotency-key": "k"}))
            for _ in range(2)
        )
        request, place = await world.sender.came(2)
        first.cancel()
        await until(lambda: world.board.waiting == 1)
        world.settle(request, place)
        assert (await second).status_code == 200
    assert not [record for record in world.log.published if isinstance(record, Cancellation)]


@pytest.fixture
def keyed():
    entries = [
        KeyEntry(name="ann", sha256=hash_of(KEY), user="ann", feature="chat", tags=("t",), rpm=2),
        KeyEntry(name="bob", sha256=hash_of(KEY + "!")),
    ]
    return DoorWorld(door_settings(), entries)


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
