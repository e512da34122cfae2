"""What is away is waited for, with a line now and then; what answers with a refusal is not away."""

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import errors as kafka_errors

from analytics.clickhouse import ClickHouseUnavailable, is_away, open_client
from streams.kafka.admin import BrokerAwayError, TopicError
from streams.kafka.publisher import DeliveryError
from tierstream.stack.dependencies import Dependency, Need, kafka_is_away
from tierstream.stack.health import HealthCheck, kafka_answers
from tierstream.stack.ports import free_port


class Scripted(Need):
    """A need that gives the answers in this order, and the last one for ever."""

    def __init__(self, *answers: bool) -> None:
        super().__init__("Kafka at k:9092", HealthCheck(kind="kafka", target="k:9092"))
        object.__setattr__(self, "script", list(answers))

    async def answers(self) -> bool:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def dependency(*answers: bool, repeat_s: float = 60.0) -> tuple[Dependency, list[str]]:
    lines: list[str] = []
    return Dependency(Scripted(*answers), tell=lines.append, poll_s=0, repeat_s=repeat_s), lines


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (kafka_errors.KafkaConnectionError(), True),
        (kafka_errors.NodeNotReadyError(), True),
        (kafka_errors.RequestTimedOutError(), True),
        (kafka_errors.GroupCoordinatorNotAvailableError(), True),
        (BrokerAwayError("Kafka does not answer"), True),
        (caused(DeliveryError("not acknowledged"), kafka_errors.KafkaTimeoutError()), True),
        (caused(DeliveryError("not acknowledged"), kafka_errors.MessageSizeTooLargeError()), False),
        (TopicError("llm.requests is missing"), False),
        (kafka_errors.UnknownTopicOrPartitionError(), False),
        (kafka_errors.TopicAuthorizationFailedError(), False),
        (kafka_errors.SaslAuthenticationFailed(), False),
        (kafka_errors.ProducerFenced(), False),
        (ValueError(), False),
    ],
)
def test_which_errors_say_that_kafka_is_away(error: Exception, away: bool) -> None:
    assert kafka_is_away(error) is away


async def test_what_answers_is_not_mentioned() -> None:
    kafka, lines = dependency(True)
    await kafka.wait()
    assert lines == []


async def test_an_absence_is_said_once_and_its_end() -> None:
    kafka, lines = dependency(*[False] * 9, True)
    await asyncio.gather(kafka.wait(), kafka.wait())
    away, back = lines
    assert away.startswith("Kafka at k:9092 does not answer: waiting for it since ")
    assert back == "Kafka at k:9092 answers, after 0 s"


async def test_a_long_absence_is_said_again() -> None:
    kafka, lines = dependency(*[False] * 3, True, repeat_s=0)
    await kafka.wait()
    assert [line.partition(":9092 ")[2].partition(":")[0] for line in lines] == [
        *["does not answer"] * 3,
        "answers, after 0 s",
    ]


async def test_what_fails_for_want_of_it_is_done_anew() -> None:
    kafka, lines = dependency(False, True)
    outcomes: list[object] = [kafka_errors.KafkaConnectionError(), kafka_errors.NodeNotReadyError(), "done"]

    async def operation() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await kafka.attempt(operation, is_away=kafka_is_away, stop=asyncio.Event()) == "done"
    assert lines[0].startswith("Kafka at k:9092 does not answer (KafkaConnectionError): waiting for it since ")
    assert lines[1:] == ["Kafka at k:9092 answers, after 0 s"]


async def test_another_error_ends_an_attempt() -> None:
    kafka, lines = dependency(False)

    async def operation() -> None:
        raise TopicError("llm.requests is missing")

    with pytest.raises(TopicError):
        await kafka.attempt(operation, is_away=kafka_is_away, stop=asyncio.Event())
    assert lines == []


async def test_a_stop_ends_the_waiting_at_once() -> None:
    stop = asyncio.Event()
    kafka = Dependency(Scripted(False), tell=lambda _: stop.set(), poll_s=600)

    async def operation() -> None:
        raise BrokerAwayError("away")

    assert await kafka.attempt(operation, is_away=kafka_is_away, stop=stop) is None


async def test_clickhouse_that_refuses_a_password_is_not_away() -> None:
    async def refuse(_: web.Request) -> web.Response:
        text = "Code: 516. DB::Exception: ann: Authentication failed. (AUTHENTICATION_FAILED)"
        return web.Response(status=403, text=text, headers={"X-ClickHouse-Exception-Code": "516"})

    app = web.Application()
    app.router.add_route("*", "/", refuse)
    async with TestServer(app) as server:
        assert not is_away(await failure_at(f"http://ann:wrong@127.0.0.1:{server.port}"))


async def test_clickhouse_where_nothing_listens_is_away() -> None:
    assert is_away(await failure_at(f"http://127.0.0.1:{free_port()}"))


async def failure_at(url: str) -> ClickHouseUnavailable:
    with pytest.raises(ClickHouseUnavailable) as raised:
        async with open_client(url):
            pass
    return raised.value


def test_credentials_are_not_shown() -> None:
    need = Need.clickhouse("https://ann:secret@ch.example:8443/db")
    assert need.name == "ClickHouse at ch.example:8443"
    assert need.check.target == "https://ch.example:8443/ping"


async def test_questions_at_the_same_time_leave_the_clients_log_as_it_was() -> None:
    level = logging.getLogger("aiokafka").level
    server = f"127.0.0.1:{free_port()}"
    assert not any(await asyncio.gather(kafka_answers(server), kafka_answers(server)))
    assert logging.getLogger("aiokafka").level == level
