"""Clients of the door that are slow, many or rude, and bodies that are not what they should be."""

import asyncio
import json

import httpx
import pytest
from support.door_world import DoorWorld, door_settings, until

PATH = "/v1/chat/completions"


async def raw(client, data: bytes) -> bytes:
    """Send bytes, and return what comes until the door closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


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
    world = DoorWorld(door_settings(header_timeout_s=0.3, body_timeout_s=0.3, max_connections=250))
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
    world = DoorWorld(door_settings(header_timeout_s=0.3))
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
    world = DoorWorld(door_settings(write_timeout_s=0.3))
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
    world = DoorWorld(door_settings(max_connections=2))
    async with world.serving() as url:
        port = httpx.URL(url).port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        answer = await asyncio.wait_for(held[2][0].read(), 10)
        for _, writer in held:
            writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer
