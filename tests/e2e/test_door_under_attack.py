"""The door as a process, asked over sockets by those who mean it harm: after each of them it serves the next one."""

import asyncio
import json
import resource
import socket
from contextlib import suppress

import httpx
import psutil
import pytest
import pytest_asyncio
from support.deployment import Deployment

from streams.config.settings_serve import ServeSettings
from tierstream.serve.keys import hash_of
from tierstream.simulator.server import running_simulator
from tierstream.stack.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/chat/completions"
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "What is Kafka?"}]}
KEY = "ts-a-key-that-nobody-would-guess"
CONFIG = """
[delivery]
drain_timeout_s = 1

[serve]
drain_timeout_s = 1
header_timeout_s = 1
body_timeout_s = 1
"""
MOST_GROWTH = 64 * 2**20
"""Bytes that an attack may leave behind in the process; what all together may is twice that."""
CONNECTIONS = 5_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(kafka, tmp_path_factory):
    async with running_simulator(time_scale=0) as simulator:
        simulator.set_behaviour(judge_error_rate=0, reasoning_share=0)
        folder = tmp_path_factory.mktemp("attacked")
        made = Deployment(kafka.bootstrap_servers, folder, simulator_url=simulator.url, config=CONFIG)
        async with made.running():
            await made.start_worker()
            yield made


class Attacked:
    """A door, and its process."""

    def __init__(self, port, process, headers=None):
        self.port = port
        self.process = process
        self._headers = headers

    async def sent(self, *pieces: bytes) -> bytes:
        """Send bytes on a connection of their own, and return what comes until the door closes it."""
        return await asyncio.to_thread(self._sent, pieces)

    def _sent(self, pieces):
        answer = b""
        # Who is refused in the middle of sending may find the connection reset, and what came before that unharmed.
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            with suppress(ConnectionError):
                for piece in pieces:
                    connection.sendall(piece)
            with suppress(ConnectionError):
                while part := connection.recv(65_536):
                    answer += part
        return answer

    async def posted(self, body: bytes, *headers: bytes, path: bytes = PATH.encode()) -> bytes:
        return await self.sent(request(b"POST", path, b"content-length: %d" % len(body), *headers), body)

    async def serves(self):
        """A client that means well has its answer."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            answer = await client.post(PATH, json=QUESTION, headers=self._headers)
        assert answer.status_code == 200, answer.text

    @property
    def memory(self):
        return self.process.memory_info().rss


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(deployment):
    port = free_port()
    child = await deployment.start("serve", "--port", str(port))
    door = Attacked(port, psutil.Process(child.pid))
    await door.serves()
    before = door.memory
    yield door
    assert door.memory - before < 2 * MOST_GROWTH


@pytest_asyncio.fixture(loop_scope="module")
async def door(one, deployment):
    """The same door for all: it lives on after each attack, answers, and has forgotten the attack."""
    before = one.memory
    yield one
    await one.serves()
    deployment.check()
    assert one.memory - before < MOST_GROWTH


def request(method: bytes, target: bytes, *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    lines = [b"%s %s %s" % (method, target, version), b"host: localhost", b"connection: close", *headers]
    return b"\r\n".join([*lines, b"", b""])


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response of a connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def head_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[0].lower()


HALVES = {"nothing": b"", "head": b"POST /v1", "body": request(b"POST", PATH.encode(), b"content-length: 99")}


@pytest.mark.parametrize("half", HALVES)
async def test_many_slow_clients_are_let_go(door, half):
    async def drip():
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        # Who goes on after an answer finds the connection reset: it is all in the first part.
        answer = asyncio.create_task(reader.read(4096))
        writer.write(HALVES[half])
        while half != "nothing" and not answer.done():
            writer.write(b"x")
            await asyncio.wait([answer], timeout=0.1)
        try:
            return await answer
        finally:
            writer.close()

    dripping = [asyncio.create_task(drip()) for _ in range(200)]
    await door.serves()
    assert {tuple(statuses(answer)) for answer in await asyncio.gather(*dripping)} == {(408,)}


@pytest.mark.parametrize("line", [b"x-%d: " + b"y" * 1000, b"x%d:", b"accept: %d"], ids=["long", "short", "repeated"])
async def test_ten_megabytes_of_headers_are_too_large(door, line):
    lines = b"\r\n".join(line % number for number in range(10 * 2**20 // (len(line) + 2)))
    begun = request(b"GET", b"/v1/models").removesuffix(b"\r\n")
    assert statuses(await door.sent(begun, lines, b"\r\n\r\n")) == [431]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"model": "auto", "messages": ' + b"[" * 100_000,
        b'{"model": "\xff\xfe"}',
        b"\xef\xbb\xbf{}",
        '{"model": "auto"}'.encode("utf-16"),
        b'{"model": "auto", "temperature": NaN, "messages": [{"role": "user", "content": "?"}]}',
        b'{"model": "auto", "temperature": Infinity, "messages": [{"role": "user", "content": "?"}]}',
        b'{"model": "auto", "seed": 1' + b"0" * 100_000 + b', "messages": [{"role": "user", "content": "?"}]}',
        b'{"model": "auto", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "auto", "messages": [' + b'{"role": "user"},' * 50_000 + b"0]}",
        b"",
        b"\0",
    ],
    ids=lambda body: repr(body[:24]),
)
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/messages", b"/v1/responses"])
async def test_bodies_that_are_none_are_refused(door, path, body):
    answer = await door.posted(body, b"content-type: application/json", b"anthropic-version: 2023-06-01", path=path)
    assert statuses(answer) == [400]
    assert len(answer) < 2_000


INSIDE = request(b"GET", b"/livez")
SMUGGLED = {
    "two lengths": (b"content-length: 0", b"content-length: %d" % len(INSIDE)),
    "a list of lengths": (b"content-length: 0, %d" % len(INSIDE),),
    "length and chunks": (b"content-length: %d" % len(INSIDE), b"transfer-encoding: chunked"),
    "chunks and length": (b"transfer-encoding: chunked", b"content-length: 5"),
    "two encodings": (b"transfer-encoding: chunked", b"transfer-encoding: identity"),
    "an unknown encoding": (b"transfer-encoding: xchunked",),
    "an encoding behind a tab": (b"transfer-encoding:\x0bchunked",),
    "a space before the colon": (b"transfer-encoding : chunked",),
    "a signed length": (b"content-length: +5",),
    "a negative length": (b"content-length: -1",),
    "a length in hexadecimal": (b"content-length: 0x5",),
    "a length of other digits": ("content-length: ٣".encode(),),
    "an endless length": (b"content-length: " + b"9" * 5_000,),
    "a bare carriage return": (b"x: y\rtransfer-encoding: chunked",),
    "a null": (b"x: \0",),
}


@pytest.mark.parametrize("trick", SMUGGLED)
async def test_no_second_request_is_smuggled_in(door, trick):
    """Had a proxy read the length in another way, it would take the request inside for part of the first one."""
    head = b"\r\n".join([b"POST /v1/chat/completions HTTP/1.1", b"host: localhost", *SMUGGLED[trick], b"", b""])
    [status] = statuses(await door.sent(head + b"0\r\n\r\n" + INSIDE))
    assert status in {400, 413, 431, 501}


async def test_chunks_are_not_for_http_1_0(door):
    head = request(b"POST", PATH.encode(), b"transfer-encoding: chunked", version=b"HTTP/1.0")
    assert statuses(await door.sent(head + b"0\r\n\r\n" + INSIDE)) == [400]


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        ([b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 160, 413),
        ([b"1\r\n \r\n"] * 100_000 + [b"0\r\n\r\n"], 400),
        ([b"1;" + b"x" * 100_000 + b"\r\n \r\n0\r\n\r\n"], 400),
        ([b"FFFFFFFFFFFFFFFFFFFFF\r\n \r\n"], 400),
        ([b"-1\r\n \r\n0\r\n\r\n"], 400),
        ([b"0\r\n" + b"x: y\r\n" * 20_000 + b"\r\n"], 400),
    ],
    ids=["too many", "tiny", "extended", "endless", "negative", "trailers"],
)
async def test_chunks_have_the_bounds_of_bodies(door, chunks, status):
    head = request(b"POST", PATH.encode(), b"transfer-encoding: chunked")
    assert statuses(await door.sent(head, *chunks)) == [status]


INJECTED = b"\r\nset-cookie: x=y"


@pytest.mark.parametrize("name", [b"idempotency-key", b"x-request-id", b"request-id", b"x-api-key"])
@pytest.mark.parametrize(
    "value", [b"a\rset-cookie: x=y", b"a\nset-cookie: x=y", b"a\r\n set-cookie: x=y", b"a\0b", b"\xc3\xa9"]
)
async def test_headers_of_requests_do_not_come_back_as_headers(door, name, value):
    answer = await door.posted(json.dumps(QUESTION).encode(), name + b": " + value)
    [status] = statuses(answer)
    assert status in {200, 400}
    assert INJECTED not in head_of(answer)


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/messages", b"/v1/responses"])
async def test_names_of_models_do_not_come_back_as_headers(door, path):
    model = {**QUESTION, "model": "auto" + INJECTED.decode(), "input": "?", "max_tokens": 9}
    answer = await door.posted(json.dumps(model).encode(), b"anthropic-version: 2023-06-01", path=path)
    assert INJECTED not in head_of(answer)


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/responses/resp_%0d%0aset-cookie:%20x=y",
        b"/v1/models/%0d%0aset-cookie:%20x=y",
        b"/%0d%0aset-cookie:%20x=y",
        b"/v1/models/?a=%0d%0aset-cookie:%20x=y",
        b"/v1/responses/" + b"%00" * 5_000,
        b"/v1/models/%ff%fe",
        b"/v1/responses/resp_" + b"9" * 9_000,
        b"/v1/responses/resp_%F0%9F%92%A9?stream=true&starting_after=" + b"9" * 4_000,
        b"/v1/chat/completions/../../livez",
        b"//v1/models",
        b"/../../etc/passwd",
        b"http://evil.example/v1/models",
        b"*",
        b"evil.example:443",
        b"?",
        b"#",
    ],
    ids=lambda target: repr(target[:40]),
)
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"X" * 5_000])
async def test_odd_methods_and_addresses_are_refused_in_words(door, method, target):
    answer = await door.sent(request(method, target))
    [status] = statuses(answer)
    assert 200 <= status < 500
    assert INJECTED not in head_of(answer)


async def test_requests_behind_each_other_are_answered_in_their_order(door):
    asked = [b"/livez", b"/v1/models/none", b"/readyz", b"/v1/embeddings"] * 25
    head = b"".join(b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % target for target in asked)
    answer = await door.sent(head + request(b"GET", b"/livez"))
    assert statuses(answer) == [200, 404, 200, 404] * 25 + [200]


async def test_old_and_new_protocols(door):
    assert (await door.sent(b"GET /livez HTTP/1.0\r\nhost: localhost\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert statuses(await door.sent(b"GET /livez\r\n\r\n")) == [400]
    assert statuses(await door.sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")) == [505]
    upgrade = (b"upgrade: websocket", b"sec-websocket-key: eHh4eHh4eHh4eHh4eHh4eA==", b"sec-websocket-version: 13")
    head = request(b"GET", b"/v1/responses", *upgrade).replace(b"connection: close", b"connection: upgrade, close")
    assert statuses(await door.sent(head)) == [405]
    h2c = request(b"GET", b"/livez", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAoAAAAAIAAAAA")
    assert statuses(await door.sent(h2c)) == [200]


async def test_many_wrong_keys_open_nothing(deployment):
    port = free_port()
    entry = f'[[keys]]\nname = "ann"\nsha256 = "{hash_of(KEY)}"\n'
    path = deployment.folder / "keys.toml"
    path.write_text(entry)
    child = await deployment.start("serve", "--port", str(port), TIERSTREAM_SERVE__KEYS_FILE=str(path))
    door = Attacked(port, psutil.Process(child.pid), {"authorization": f"Bearer {KEY}"})
    await door.serves()
    before = door.memory
    wrong = [
        KEY[:-1],
        KEY + "x",
        KEY.upper(),
        "x" * 20_000,
        "\xff",
        hash_of(KEY),
        "' or 1=1 --",
        "null",
        *map(str, range(500)),
    ]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for key in wrong:
            for headers in ({"authorization": f"Bearer {key}".encode("latin-1")}, {"x-api-key": key.encode("latin-1")}):
                answer = await client.get("/v1/models", headers=headers)
                assert answer.status_code == 401
                assert KEY not in answer.text
    await door.serves()
    assert door.memory - before < MOST_GROWTH
    deployment.unwatch(child).kill()


async def test_so_many_connections_and_no_more(deployment):
    """Each takes a file of this process too: where the system allows too few, there is nothing to see here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 500:
        pytest.skip(f"{hard} files are too few for {CONNECTIONS} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    # All of them are there before the first one has to go.
    child = await deployment.start("serve", "--port", str(port), TIERSTREAM_SERVE__HEADER_TIMEOUT_S="20")
    door = Attacked(port, psutil.Process(child.pid))
    await door.serves()
    before = door.memory
    held = []
    try:
        held += [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
        over = held[ServeSettings().max_connections :]
        refused = await asyncio.gather(*(reader.read() for reader, _ in over))
        assert door.memory - before < 2 * MOST_GROWTH
    finally:
        for _, writer in held:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in held), return_exceptions=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {tuple(statuses(answer)) for answer in refused} == {(503,)}
    await door.serves()
    deployment.unwatch(child).kill()
