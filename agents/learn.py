"""results, feedback -> llm.control. One process of a deployment concludes from its outcomes what all of them go by.

It is a member of a group that reads the results, for one reason: whoever owns the first partition is the one that
learns, and if it dies somebody else is. It follows the topics outside of the group, since it wants all partitions, and
begins a while back, so that who takes over knows what the one before it knew. Nothing depends on it: while nobody
learns, the others go by what was concluded last, or by the settings.

A process that was stopped and goes on may believe that it still owns the partition. It publishes in transactions, under
an id that the next one has taken over: the broker refuses it, and it starts again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

from streams.calls.pricing import PriceBook
from streams.config.settings import Settings
from streams.config.settings_sections import TierSettings
from streams.control.learned_state import LearnedState
from streams.kafka.clock import Clock, utc_now
from streams.kafka.group_consumer import group_consumer
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import RawRecord, TopicReader, partitions_of
from streams.learning.budget_lesson import BudgetLesson
from streams.learning.canary_lesson import CanaryLesson
from streams.learning.judge_lesson import JudgeLesson
from streams.learning.judge_sampling import SamplingBounds
from streams.learning.lesson import Lesson
from streams.routing.online.arms import Arm
from streams.routing.online.features import RequestFeatures
from streams.routing.online.versions import OnlinePolicies
from topics.codec import DecodeError, decode
from topics.feedback import Feedback
from topics.journal import Usage
from topics.registry import CONTROL, FEEDBACK, REQUESTS, RESULTS, TopicSpec
from topics.requests import Request
from topics.results import Result

log = logging.getLogger(__name__)

STAGE = "learn"
_LOOK_S = 1.0
"""How often it looks whether it is still the one that learns."""
_LAG_MS = 500
"""Nobody waits for a conclusion, and records that come together cost less."""
_TYPICAL = Usage(input=300, output=300)
"""Tokens of a request, for a first guess of its price."""
_AT_ONCE = 50
"""Records that are taken in without a pause: the other stages of the process have their turn in between."""


def learns(settings: Settings) -> bool:
    """Whether there is anything to learn by these settings: without, no worker runs the stage."""
    has_sample = bool(settings.validation.chain) and settings.validation.sample_rate > 0
    return has_sample or bool(settings.canary) or settings.routing.budget_usd_per_request is not None


def lessons_of(settings: Settings, learned: LearnedState, policies: OnlinePolicies, prices: PriceBook) -> list[Lesson]:
    """Make the lessons that the settings ask for.

    Args:
        settings: Of the deployment.
        learned: What was learned so far, kept up to date.
        policies: Those under a budget, kept up to date.
        prices: For a first guess of what tiers cost.
    """
    lessons: list[Lesson] = []
    validation, budget = settings.validation, settings.routing.budget_usd_per_request
    if validation.chain and validation.sample_rate > 0:
        bounds = SamplingBounds(
            validation.sample_rate, validation.min_sample_rate, validation.max_sample_rate, validation.max_spend_share
        )
        lessons.append(JudgeLesson(bounds))
    lessons += [
        CanaryLesson(canary, partial(learned.canary, canary.name, canary.model.ref)) for canary in settings.canary
    ]
    if budget is not None:
        window_s = settings.delivery.dedup_window_s + settings.deadlines.longest.total_seconds()
        lessons.append(
            BudgetLesson(
                settings.learning,
                [_arm(number, tier, prices) for number, tier in enumerate(settings.tiers, start=1)],
                budget_usd=budget,
                features=RequestFeatures(),
                policies=policies,
                window_ms=int(window_s * 1000),
            )
        )
    return lessons


def _arm(number: int, tier: TierSettings, prices: PriceBook) -> Arm:
    """Guess what a tier costs by the list price of its first model; what it brings is guessed from that."""
    first = tier.models[0]
    cost = prices.rates(first.provider, first.model, utc_now()).cost(_TYPICAL)
    return Arm(f"tier {number}: {first.ref}", float(cost), None)


class Learn(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """The consumer that leads where it owns the first partition.

    Args:
        settings: How far back it begins, and how often it publishes.
        lessons: Makes the lessons anew; called each time that this process becomes the one that learns.
        clock: Current moment.
    """

    def __init__(self, settings: Settings, lessons: Callable[[], Sequence[Lesson]], clock: Clock) -> None:
        self._settings = settings
        self._new_lessons = lessons
        self._clock = clock
        self._topic = RESULTS.full_name(settings.kafka.prefix)
        self._leads = False
        self._assigned = asyncio.Event()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Learn until `stop` is set, whenever this process is the one to do it.

        Raises:
            DeliveryError: The broker did not take a conclusion.
            aiokafka.errors.KafkaError: Somebody else has taken over, or the broker refuses.
        """
        self._consumer = group_consumer(self._settings, STAGE)
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()
        leading: asyncio.Task[None] | None = None
        try:
            while not stop.is_set():
                # Its partitions are paused: this brings nothing, and tells the group that the process is there.
                await self._consumer.getmany(timeout_ms=int(_LOOK_S * 1000))
                if self._assigned.is_set():
                    on_ready()
                if self._leads and leading is None:
                    leading = asyncio.create_task(self._lead())
                elif leading is not None and leading.done():
                    leading.result()
                elif leading is not None and not self._leads:
                    await _ended(leading)
                    leading = None
        finally:
            if leading is not None:
                await _ended(leading)
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - all go at once
        """Lead no more."""
        self._leads = False

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Lead with the first partition; nothing is read of any."""
        owned = list(assigned)
        self._consumer.pause(*owned)
        self._leads = TopicPartition(self._topic, 0) in owned
        self._assigned.set()

    async def _lead(self) -> None:
        learning, kafka = self._settings.learning, self._settings.kafka
        lessons = self._new_lessons()
        specs: list[TopicSpec[Any]] = [RESULTS, FEEDBACK]
        if any(lesson.reads_requests for lesson in lessons):
            specs.append(REQUESTS)
        by_topic = {spec.full_name(kafka.prefix): spec for spec in specs}
        tps = [tp for spec in specs for tp in partitions_of(spec, kafka)]
        reader = TopicReader(kafka)
        since_ms = int((self._clock() - timedelta(seconds=learning.replay_s)).timestamp() * 1000)
        async with Publisher(kafka, transactional_id=self._settings.group(STAGE)) as publisher:
            behind = await reader.end_offsets(tps)
            log.info("this process learns, from what happened in the last %g s", learning.replay_s)
            due = self._clock()
            async with aclosing(reader.follow(tps, since_ms=since_ms, lag_ms=_LAG_MS)) as following:
                async for tp, records, position in following:
                    await _take_in(lessons, by_topic[tp.topic], records)
                    if position >= behind.get(tp, 0):
                        behind.pop(tp, None)
                    if not behind and self._clock() >= due:
                        await self._publish(publisher, lessons)
                        due = self._clock() + timedelta(seconds=learning.publish_s)

    async def _publish(self, publisher: Publisher, lessons: Sequence[Lesson]) -> None:
        now = self._clock()
        records = [record for lesson in lessons for record in lesson.conclusions(now)]
        outdated = [key for lesson in lessons for key in lesson.outdated(now)]
        if not records and not outdated:
            return
        async with publisher.producer.transaction():
            await publisher.publish([Output(CONTROL, record) for record in records])
            await publisher.withdraw(CONTROL, *outdated)
        for record in records:
            log.debug("learned: %s", record.partition_key)


async def _take_in(lessons: Sequence[Lesson], spec: TopicSpec[Any], records: Sequence[RawRecord]) -> None:
    for number, record in enumerate(records):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            decoded = decode(spec, record.value, record.headers).record
        except DecodeError:
            # Whoever serves the topic makes a dead letter of it.
            continue
        for lesson in lessons:
            match decoded:
                case Request():
                    lesson.on_request(decoded, record.timestamp)
                case Result():
                    lesson.on_result(decoded)
                case Feedback():
                    lesson.on_feedback(decoded)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
