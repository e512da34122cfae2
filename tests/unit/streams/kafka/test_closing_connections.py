"""A connection to a broker that is being closed, on the event loop of the services."""

import asyncio

import pytest
import uvloop
from aiokafka import conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

import streams.kafka.closing_connections  # noqa: F401 - what is tested

WAYS = ["send", "_send_sasl_token"]
SENT = {"send": MetadataRequest([]), "_send_sasl_token": b"token"}


async def connected(port):
    """A connection as aiokafka has it, to a server that is no broker."""
    made = conn.AIOKafkaConnection("127.0.0.1", port)
    made._do_version_lookup = lambda: asyncio.sleep(0)
    await made.connect()
    made._versions = {MetadataRequest.API_KEY: (0, 1)}
    return made


async def refusal_of(connection, way):
    """What a request meets after the transport was closed, and before the connection knows."""
    loop, met = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def attempt():
        try:
            getattr(connection, way)(SENT[way]).close()
        except Exception as error:  # noqa: BLE001 - which one is the question
            met.set_result((connection._writer, error))
        else:
            met.set_result((connection._writer, None))

    connection._writer.transport.abort()
    # Abort has its own callback before this one, and whoever reads is woken up after it.
    loop.call_soon(attempt)
    return await met


@pytest.mark.parametrize("way", WAYS)
def test_a_request_on_a_closed_transport_is_refused_as_on_any_broken_connection(way):
    async def run():
        async with await asyncio.start_server(lambda *_: asyncio.sleep(0), "127.0.0.1", 0) as server:
            connection = await connected(server.sockets[0].getsockname()[1])
            waiting = asyncio.ensure_future(connection.send(MetadataRequest([])))
            writer, error = await refusal_of(connection, way)
            assert isinstance(error, KafkaConnectionError)
            assert writer is None
            assert not connection.connected()
            with pytest.raises(KafkaConnectionError):
                await waiting

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_a_request_on_an_open_connection_is_sent():
    async def run():
        received = asyncio.get_running_loop().create_future()

        async def read(reader, _writer):
            received.set_result(await reader.readexactly(4))

        async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
            connection = await connected(server.sockets[0].getsockname()[1])
            waiting = asyncio.ensure_future(connection.send(MetadataRequest([])))
            assert int.from_bytes(await received, "big") > 0
            connection.close()
            with pytest.raises(KafkaConnectionError):
                await waiting

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
