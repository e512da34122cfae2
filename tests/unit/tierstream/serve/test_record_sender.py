"""Requests that Kafka does not take: what the client is told, and what becomes of the producer."""

import pytest

from streams.config.settings import Settings
from streams.kafka.clock import BrokerClock
from streams.kafka.publisher import Delivered, DeliveryError, Output, Publisher
from tierstream.serve.exchange import RecordSender
from tierstream.serve.surface import DoorError
from topics.messages import Message
from topics.registry import REQUESTS
from topics.requests import Request


def output(text="?"):
    return Output(REQUESTS, Request(request_id="r", messages=(Message(role="user", content=text),)))


def sender(**kafka):
    return RecordSender(Settings(kafka={"bootstrap_servers": "127.0.0.1:1", **kafka}), BrokerClock())


async def test_without_a_broker_the_client_is_told_to_come_back():
    with pytest.raises(DoorError) as refused:
        await sender().send(output())
    assert (refused.value.status, refused.value.may_retry) == (503, True)
    assert refused.value.retry_after_s


async def test_what_is_too_large_is_not_sent():
    with pytest.raises(DoorError) as refused:
        await sender(request_max_bytes=1024).send(output("x" * 1024))
    assert (refused.value.status, refused.value.code) == (413, "request_too_large")


async def test_a_producer_that_has_failed_is_replaced(monkeypatch):
    opened, closed = [], []

    async def enter(publisher):
        opened.append(publisher)
        return publisher

    async def leave(publisher, *_):
        closed.append(publisher)

    async def publish(publisher, outputs):
        if publisher is opened[0]:
            raise DeliveryError("the broker did not acknowledge a record")
        return [Delivered(0, 7, 1)]

    monkeypatch.setattr(Publisher, "__aenter__", enter)
    monkeypatch.setattr(Publisher, "__aexit__", leave)
    monkeypatch.setattr(Publisher, "publish", publish)
    sending = sender()
    with pytest.raises(DoorError):
        await sending.send(output())
    assert (await sending.send(output())).offset == 7
    assert (await sending.send(output())).offset == 7
    await sending.close()
    assert len(opened) == 2
    assert closed == opened
