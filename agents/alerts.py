"""llm.alerts -> a webhook. Posts each alert as JSON, at least once.

An alert that was not taken is posted again, after pauses that grow; those behind it wait. One that nobody has taken for
a long time is left out, and the log says so. What is posted can be signed: the header has the HMAC-SHA256 of the moment
and the body, so that whoever receives it can tell ours from others', and old ones from new ones.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.group_consumer import commit_progress, group_consumer
from streams.kafka.topic_reader import RawRecord
from streams.runtime.unless import unless
from topics.alerts import Alert
from topics.codec import DecodeError, decode
from topics.registry import ALERTS

log = logging.getLogger(__name__)

STAGE: Final = "alerts"
ID_HEADER: Final = "X-Tierstream-Alert-Id"
TIME_HEADER: Final = "X-Tierstream-Timestamp"
SIGNATURE_HEADER: Final = "X-Tierstream-Signature"
_POLL_MS: Final = 500
_FIRST_PAUSE_S: Final = 1.0
_AT_ONCE: Final = 50
_TAKEN: Final = 2
"""Hundreds of a status."""
_SLACK_S: Final = 300.0


class MissingSecretError(Exception):
    """The environment has no secret under the name that the settings give."""


@dataclass(slots=True)
class _Position:
    position: int = 0
    committed: int = 0


def is_wanted(settings: Settings) -> bool:
    """Whether there is a webhook by these settings: without one, no worker runs the stage."""
    return settings.alerts.webhook_url is not None


class AlertPoster:
    """The consumer of `llm.alerts`.

    Args:
        settings: The webhook.
        clock: Current moment.
        environ: Has the secret.
        sleep: Waits between tries.

    Raises:
        MissingSecretError: The settings name a secret that the environment has not.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        variable = settings.alerts.secret_env
        self._secret = environ.get(variable, "") if variable is not None else None
        if self._secret == "":
            raise MissingSecretError(f"alerts.secret_env: the environment has no {variable}")

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Post alerts until `stop` is set; one that is under way then is posted again by whoever comes next."""
        alerts = self._settings.alerts
        idle_s = alerts.give_up_s + alerts.longest_pause_s + alerts.timeout_s + _SLACK_S
        consumer = group_consumer(self._settings, STAGE, max_poll_interval_ms=int(idle_s * 1000))
        consumer.subscribe([ALERTS.full_name(self._settings.kafka.prefix)])
        await consumer.start()
        timeout = aiohttp.ClientTimeout(total=alerts.timeout_s)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await unless(stop.wait(), self._post_all(consumer, session, on_ready))
        finally:
            await consumer.stop()

    async def _post_all(
        self, consumer: AIOKafkaConsumer, session: aiohttp.ClientSession, on_ready: Callable[[], None]
    ) -> None:
        while True:
            found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            if consumer.assignment() or found:
                on_ready()
            for tp, records in found.items():
                await self._post_each(consumer, session, tp, records)

    async def _post_each(
        self,
        consumer: AIOKafkaConsumer,
        session: aiohttp.ClientSession,
        tp: TopicPartition,
        records: Sequence[RawRecord],
    ) -> None:
        for record in records:
            try:
                alert = decode(ALERTS, record.value, record.headers).record
            except DecodeError as error:
                log.warning("%s-%d at %d is no alert: %s", tp.topic, tp.partition, record.offset, error)
            else:
                await self.post(session, alert)
            progress = {tp: _Position(record.offset + 1)}
            await commit_progress(consumer, progress, "its next owner posts the alert again")

    async def post(self, session: aiohttp.ClientSession, alert: Alert) -> None:
        """Post an alert until it is taken, or until its time is up."""
        alerts, body = self._settings.alerts, alert.model_dump_json().encode()
        give_up_at, pause_s = time.monotonic() + alerts.give_up_s, _FIRST_PAUSE_S
        while True:
            problem = await self._try(session, alert, body)
            if problem is None:
                return
            if time.monotonic() >= give_up_at:
                log.error("alert %s was not taken for %g s and is left out: %s", alert.id, alerts.give_up_s, problem)
                return
            pause_s = min(pause_s, alerts.longest_pause_s)
            log.warning("alert %s was not taken, once more in %g s: %s", alert.id, pause_s, problem)
            await self._sleep(pause_s)
            pause_s *= 2

    async def _try(self, session: aiohttp.ClientSession, alert: Alert, body: bytes) -> str | None:
        """Post an alert once; say what went wrong, in words without the URL, which may hold a secret."""
        url = self._settings.alerts.webhook_url or ""
        headers = {"Content-Type": "application/json", ID_HEADER: str(alert.id), **self._signature(body)}
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return None if answer.status // 100 == _TAKEN else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    def _signature(self, body: bytes) -> dict[str, str]:
        if self._secret is None:
            return {}
        at = str(int(self._clock().timestamp()))
        digest = hmac.new(self._secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return {TIME_HEADER: at, SIGNATURE_HEADER: f"sha256={digest}"}
