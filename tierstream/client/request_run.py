"""A run of many requests: produce them at a pace, collect every result, and count what came out."""

import asyncio
import math
import time
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntFlag
from typing import Any

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from tierstream.client.record_reader import RecordReader, Start
from tierstream.client.request_producer import RequestProducer
from topics.registry import RESULTS
from topics.requests import Request
from topics.results import Result


@dataclass
class RunReport:
    """What a run has come to so far; live while it runs."""

    requests: int = 0
    """How many are to be answered, as far as is known."""
    produced: int = 0
    """How many this session has sent."""
    results: int = 0
    duplicates: int = 0
    """Second results of a request seen on the topic; anything but 0 is a fault of the system."""
    statuses: Counter[str] = field(default_factory=Counter)
    tiers: Counter[int] = field(default_factory=Counter)
    """Results by the tier that answered; those without an answer are in none."""
    cost_usd: Decimal = Decimal(0)
    latencies_ms: "array[float]" = field(default_factory=lambda: array("d"))
    missing: tuple[str, ...] = ()
    """Ids of the requests without a result when the run gave up."""
    elapsed_s: float = 0.0

    def add(self, result: Result) -> None:
        """Count a result."""
        self.results += 1
        self.statuses[result.status.value] += 1
        if result.tier is not None and result.content is not None:
            self.tiers[result.tier] += 1
        self.cost_usd += result.cost_usd
        self.latencies_ms.append(result.latency_ms)

    def latency_ms(self, share: float) -> float | None:
        """Return the latency that this share of the results did not exceed, in milliseconds (nearest rank)."""
        if not self.latencies_ms:
            return None
        ranked = sorted(self.latencies_ms)
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values; money is a string."""
        return {
            "requests": self.requests,
            "produced": self.produced,
            "results": self.results,
            "missing": len(self.missing),
            "duplicates": self.duplicates,
            "by_status": dict(sorted(self.statuses.items())),
            "by_tier": {str(tier): count for tier, count in sorted(self.tiers.items())},
            "cost_usd": str(self.cost_usd),
            "latency_ms": {"p50": self.latency_ms(0.5), "p95": self.latency_ms(0.95)},
            "elapsed_s": round(self.elapsed_s, 3),
        }


@dataclass(frozen=True)
class Resume:
    """What is known before a run starts, so that it asks for nothing that has been answered."""

    ids: Collection[str]
    """Every request id of the run."""
    answered: Collection[str]
    """Those whose results are at hand."""
    since: datetime
    """From when on results of these ids may be on the topic."""


async def run_requests(
    settings: Settings,
    requests: Iterable[Request],
    *,
    on_result: Callable[[Result], None],
    timeout_s: float,
    rate: float | None = None,
    in_flight: int | None = None,
    resume: Resume | None = None,
    report: RunReport | None = None,
) -> RunReport:
    """Send requests and collect the first result (revision 0) of each.

    Args:
        settings: With an address of Kafka.
        requests: With distinct ids; read as they are sent.
        on_result: Called once for each result, in the order of arrival; what it raises ends the run.
        timeout_s: Give up after that many seconds in which nothing was produced and no result came.
        rate: Requests a second at most; None: as fast as the broker takes them.
        in_flight: Requests without a result at most; None: no limit.
        resume: With it, results on the topic are taken first, and only what has none is sent.
        report: Filled while the run goes on, for a caller that shows progress; by default a new one.

    Returns:
        The report; its `missing` names the requests without a result when the run gave up.

    Raises:
        TopicError: No broker answers, or the topics are not there.
        DeliveryError: The broker did not take a request.
        ValueError: A request id comes twice.
    """
    run = _Run(on_result, in_flight, resume, report or RunReport())
    await require_topics(settings.kafka)
    start: Start = "end" if resume is None else resume.since
    async with (
        RecordReader(RESULTS, settings.kafka, start=start, keep=run.knows) as reader,
        RequestProducer(settings.kafka) as producer,
    ):
        if resume is not None:
            async for result in reader.until_end():
                run.take(result)
        producing = asyncio.create_task(run.produce(producer, requests, rate))
        try:
            await run.collect(reader, producing, timeout_s)
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)
    return run.finish()


class _Mark(IntFlag):
    """What is known of a request."""

    KNOWN = 0
    SENT = 1
    ANSWERED = 2
    READ = 4
    """Its result was read from the topic in this session."""


class _Run:
    def __init__(
        self, on_result: Callable[[Result], None], in_flight: int | None, resume: Resume | None, report: RunReport
    ) -> None:
        self._on_result = on_result
        self._slots = asyncio.Semaphore(in_flight) if in_flight is not None else None
        self._marks: dict[str, _Mark] = {}
        self._report = report
        self._started = self._last_progress = time.monotonic()
        if resume is not None:
            self._marks = dict.fromkeys(resume.ids, _Mark.KNOWN)
            self._marks.update(dict.fromkeys(resume.answered, _Mark.ANSWERED))
            report.requests = len(self._marks)
            self._unanswered = len(resume.ids) - len(resume.answered)
        else:
            self._unanswered = 0
        self._resumed = resume is not None

    def knows(self, request_id: str) -> bool:
        return request_id in self._marks

    async def produce(self, producer: RequestProducer, requests: Iterable[Request], rate: float | None) -> None:
        loop = asyncio.get_running_loop()
        first = loop.time()
        paced = 0
        for request in requests:
            if self._is_answered(request):
                continue
            # A pause of 0 still lets the reader and the broker's connection have their turn.
            await asyncio.sleep(0 if rate is None else first + paced / rate - loop.time())
            if self._slots is not None:
                await self._slots.acquire()
            if self._is_answered(request):
                self._release()
                continue
            await self._send(producer, request)
            paced += 1
        await producer.flush()

    def _is_answered(self, request: Request) -> bool:
        return bool(self._marks.get(request.request_id, _Mark.KNOWN) & _Mark.ANSWERED)

    def _release(self) -> None:
        if self._slots is not None:
            self._slots.release()

    async def _send(self, producer: RequestProducer, request: Request) -> None:
        mark = self._marks.get(request.request_id)
        if mark is None and not self._resumed:
            self._unanswered += 1
            self._report.requests += 1
        elif mark is None or mark & _Mark.SENT:
            raise ValueError(f"request id {request.request_id!r} comes twice or is not one of the run's")
        self._marks[request.request_id] = (mark or _Mark.KNOWN) | _Mark.SENT
        await producer.send(request)
        self._report.produced += 1
        self._progress()

    async def collect(self, reader: RecordReader[Result], producing: "asyncio.Task[None]", timeout_s: float) -> None:
        while not (producing.done() and self._unanswered == 0):
            if producing.done():
                producing.result()
            for result in await reader.poll():
                self.take(result)
            if self._unanswered and time.monotonic() - self._last_progress > timeout_s:
                return
        producing.result()
        # A second result of a request would come after the first: look at all that is there.
        await reader.aim_at_end()
        async for result in reader.until_end():
            self.take(result)

    def take(self, result: Result) -> None:
        mark = self._marks.get(result.request_id)
        if mark is None or result.revision != 0:
            return
        self._marks[result.request_id] = mark | _Mark.ANSWERED | _Mark.READ
        if mark & _Mark.READ:
            self._report.duplicates += 1
        if mark & _Mark.ANSWERED:
            return
        self._on_result(result)
        self._report.add(result)
        self._unanswered -= 1
        if mark & _Mark.SENT:
            self._release()
        self._progress()

    def _progress(self) -> None:
        now = self._last_progress = time.monotonic()
        self._report.elapsed_s = now - self._started

    def finish(self) -> RunReport:
        self._report.elapsed_s = time.monotonic() - self._started
        self._report.missing = tuple(
            request_id for request_id, mark in self._marks.items() if not mark & _Mark.ANSWERED
        )
        return self._report
