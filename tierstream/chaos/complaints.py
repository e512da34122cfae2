"""Feedback under faults: some results are complained about, twice each, and have to be answered anew once."""

import asyncio
import logging

from aiokafka.errors import KafkaError

from streams.config.settings_sections import KafkaSettings
from streams.kafka.publisher import DeliveryError, Output, Publisher
from topics.feedback import Feedback, FeedbackKind
from topics.registry import FEEDBACK
from topics.results import Result

log = logging.getLogger(__name__)

_EACH = 10
"""One answer in so many."""
_AGAIN_S = 1.0


class Complaints:
    """Sends feedback that asks for a retry.

    Args:
        kafka: Where the cluster is.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self.sent = 0
        """Feedback records that the broker has acknowledged."""
        self._kafka = kafka
        self._answers = 0
        self._waiting: asyncio.Queue[Result] = asyncio.Queue()

    def note(self, result: Result) -> None:
        """Take note of a result; some answers are complained about."""
        if result.content is not None:
            self._answers += 1
            if self._answers % _EACH == 0:
                self._waiting.put_nowait(result)

    async def run(self) -> None:
        """Send what there is to say, without end; while the broker is away, again and again."""
        while True:
            result = await self._waiting.get()
            about = {"request_id": result.request_id, "revision": result.revision, "retry": True}
            kinds = (FeedbackKind.SCHEMA_MISMATCH, FeedbackKind.WRONG)
            said = [Output(FEEDBACK, Feedback(kind=kind, **about)) for kind in kinds]
            while not await self._send(said):  # noqa: ASYNC110 - no event tells that the broker is back
                await asyncio.sleep(_AGAIN_S)
            self._waiting.task_done()

    async def finish(self) -> None:
        """Return when all of it is sent."""
        await self._waiting.join()

    async def _send(self, said: list[Output]) -> bool:
        try:
            async with Publisher(self._kafka) as publisher:
                self.sent += len(await publisher.publish(said))
        except (DeliveryError, KafkaError) as error:
            log.info("feedback is sent again: %s", error)
            return False
        return True
