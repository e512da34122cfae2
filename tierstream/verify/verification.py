"""The whole of `tierstream verify`: reads the evidence in an order in which causes end before their effects do."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition

from streams.calls.pricing import PriceBook
from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from tierstream.client.record_reader import RecordReader, Start
from tierstream.verify.answers import AnswerBook
from tierstream.verify.calls import CallBook, CallCounts, CallRules
from tierstream.verify.ended_calls import pico_usd, usd
from tierstream.verify.evidence import Evidence, Progress, Span
from tierstream.verify.feedback import FeedbackBook
from tierstream.verify.findings import Check, Findings, place
from tierstream.verify.identity import Window
from tierstream.verify.ledger_audit import Ledger, open_ledger
from tierstream.verify.ledger_rows import Expected
from tierstream.verify.rates import RatesAudit
from tierstream.verify.redelivery import UnroutedCalls
from tierstream.verify.requests import RequestBook
from tierstream.verify.served import ServedCalls, fetch_served, judge_unrecorded, read_usage_logs
from tierstream.verify.shadows import ShadowBook
from tierstream.verify.shared_calls import SharedCalls
from topics.base import from_millis
from topics.codec import DecodeError, decode
from topics.dead_letters import revision_of
from topics.events import DeadLetter
from topics.feedback import Feedback
from topics.journal import CallEnded, CallStarted
from topics.registry import CALLS, DEAD_LETTERS, FEEDBACK, HOPS, REQUESTS, RESULTS, SHADOW

_SERVED_CHECKS: Final = (Check.UNRECORDED, Check.UNSERVED, Check.UNMADE, Check.UNBILLED)


@dataclass(frozen=True)
class VerifyOptions:
    """What to look at.

    Attributes:
        since: Judge only what is younger; None: all that Kafka keeps.
        usage_logs: Served-call logs of simulators.
        served_url: A running simulator that is asked for the calls it remembers.
        wait_s: Seconds to wait for results and for the sink.
        limit: How many findings of each check are named.
    """

    since: datetime | None = None
    usage_logs: tuple[Path, ...] = ()
    served_url: str | None = None
    wait_s: float = 0.0
    limit: int = 20


@dataclass
class Verification:
    """What was read, and what was found."""

    findings: Findings
    since: datetime | None = None
    """First moment that was judged; None: the beginning."""
    counts: dict[str, int] = field(default_factory=dict)
    results_cost_usd: Decimal = Decimal(0)
    calls_cost_usd: Decimal = Decimal(0)
    shadows_cost_usd: Decimal = Decimal(0)
    """Of the calls, those that were made for comparisons: they are in no result."""
    records: int = 0
    elapsed_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "ok": self.findings.ok,
            "since": self.since.isoformat() if self.since else None,
            "counts": self.counts,
            "cost_usd": {
                "results": str(self.results_cost_usd),
                "calls": str(self.calls_cost_usd),
                "shadows": str(self.shadows_cost_usd),
            },
            "checks": self.findings.as_json(),
            "records": self.records,
            "elapsed_s": round(self.elapsed_s, 3),
            "records_per_s": round(self.records / self.elapsed_s) if self.elapsed_s else None,
        }


async def verify(settings: Settings, options: VerifyOptions, progress: Progress) -> Verification:
    """Compare requests, results, journal, dead letters, ledger and the providers' log with each other.

    Args:
        settings: With the address of Kafka; without a URL of ClickHouse the ledger is left out.
        options: What to look at.
        progress: Told how far it is.

    Raises:
        TopicError: A topic is missing, or Kafka does not answer.
        ClickHouseUnavailable: ClickHouse is configured and does not answer.
        InputError: A usage log can't be read.
    """
    await require_topics(settings.kafka, CALLS, DEAD_LETTERS, FEEDBACK, HOPS, SHADOW)
    started = time.monotonic()
    run = _Run(settings, options, progress)
    await run.work()
    run.verification.records = run.evidence.records
    run.verification.elapsed_s = time.monotonic() - started
    return run.verification


class _Run:
    def __init__(self, settings: Settings, options: VerifyOptions, progress: Progress) -> None:
        self.verification = Verification(Findings(options.limit), since=options.since)
        self.evidence = Evidence(settings.kafka, self.verification.findings, progress)
        self._settings = settings
        self._options = options
        self._progress = progress
        self._window = timedelta(seconds=settings.delivery.dedup_window_s)
        self._wait_until = asyncio.get_running_loop().time() + options.wait_s
        self._findings = self.verification.findings
        self._calls = CallCounts()
        self._results = self._hops = self._requests = self._letters = self._results_pico = 0
        self._book = RequestBook(
            self._findings,
            topic=REQUESTS.full_name(settings.kafka.prefix),
            deadlines=settings.deadlines,
            window=self._window,
        )
        self._feedback = FeedbackBook(
            self._findings,
            topic=FEEDBACK.full_name(settings.kafka.prefix),
            window=self._window,
            longest=settings.deadlines.longest,
        )
        self._shadows = ShadowBook(self._findings, topic=SHADOW.full_name(settings.kafka.prefix))

    async def work(self) -> None:
        """Read everything, cause before effect, and judge it."""
        await self._cut_what_expired()
        served = await self._served()
        await self._read_requests()
        await self._read_feedback()
        await self._read_shadow_tasks()
        await self._wait_for_results()
        await self._wait_for_feedback()
        await self._read_dead_letters()
        shared = SharedCalls(self._findings, served)
        done = await self.evidence.committed(FEEDBACK, self._settings.group(FEEDBACK.name))
        compared = await self.evidence.committed(SHADOW, self._settings.group(SHADOW.name))
        await self._judge_money(served, shared)
        self._feedback.finish(done, utc_now())
        self._shadows.finish(compared)
        await self._judge_unanswered()
        if served is not None:
            judge_unrecorded(self._findings, served)
        self._count(served, shared)

    async def _cut_what_expired(self) -> None:
        """Move the start to where every topic is whole, so that what retention deleted is not called lost."""
        if self.verification.since is not None:
            return
        spans = [
            span for spec in (REQUESTS, FEEDBACK, RESULTS, CALLS, HOPS) for span in await self.evidence.spans(spec)
        ]
        oldest_ms = await self.evidence.oldest_kept_ms(spans)
        if oldest_ms is not None:
            self.verification.since = from_millis(oldest_ms) + self._window

    async def _served(self) -> ServedCalls | None:
        options = self._options
        if not options.usage_logs and options.served_url is None:
            for check in _SERVED_CHECKS:
                self._findings.skip(check, "no log of served calls: give --usage-log or --served")
            return None
        self._progress("served calls", self.evidence.records)
        served = ServedCalls()
        read_usage_logs(options.usage_logs, served, since=self.verification.since)
        if options.served_url is not None:
            await fetch_served(options.served_url, served, since=self.verification.since)
        return served

    async def _read_requests(self) -> None:
        max_bytes = self._settings.kafka.request_max_bytes
        for span in await self.evidence.spans(REQUESTS, since_ms=_millis(self.verification.since)):
            partition = span.tp.partition
            async for raw, record in self.evidence.read(REQUESTS, span, max_bytes=max_bytes):
                self._requests += 1
                where = (partition, raw.offset, raw.timestamp)
                revision = revision_of(raw.headers)
                if isinstance(record, DecodeError):
                    self._book.add_unreadable(raw.value, record.request_id, *where, revision=revision)
                else:
                    self._book.add_request(record, *where, revision=revision)

    async def _read_feedback(self) -> None:
        max_bytes, lead_ms = self._settings.kafka.request_max_bytes, self._lead_ms()
        since_ms = _millis(self.verification.since)
        for span in await self.evidence.spans(FEEDBACK, since_ms=since_ms, lead_ms=lead_ms):
            async for raw, record in self.evidence.read(FEEDBACK, span, max_bytes=max_bytes):
                judged, where = raw.offset >= span.start, (span.tp.partition, raw.offset)
                if isinstance(record, Feedback):
                    self._feedback.add_feedback(record, *where, raw.timestamp, judged=judged)
                elif judged and isinstance(record, DecodeError):
                    self._feedback.add_unreadable(raw.value, *where)

    async def _read_shadow_tasks(self) -> None:
        for span in await self.evidence.spans(SHADOW, since_ms=_millis(self.verification.since)):
            async for raw, given in self.evidence.read(SHADOW, span):
                # What can't be read was written by somebody else, and is a dead letter.
                if not isinstance(given, DecodeError):
                    self._shadows.add_task(given, span.tp.partition, raw.offset)

    async def _wait_for_results(self) -> None:
        if not self._options.wait_s:
            return
        outstanding = self._book.outstanding()
        start: Start = self.verification.since - self._window if self.verification.since else "beginning"
        with suppress(TimeoutError):
            async with (
                asyncio.timeout_at(self._wait_until),
                RecordReader(RESULTS, self._settings.kafka, start=start) as reader,
            ):
                while outstanding:
                    self._progress("results to come", self.evidence.records)
                    for result in await reader.poll():
                        outstanding.discard(result)

    async def _wait_for_feedback(self) -> None:
        """Wait until all feedback is told of, and the revisions that it asked for have their results."""
        if not self._options.wait_s or not self._feedback.is_waiting:
            return
        start: Start = self.verification.since - self._window if self.verification.since else "beginning"
        kafka = self._settings.kafka
        with suppress(TimeoutError):
            async with (
                asyncio.timeout_at(self._wait_until),
                RecordReader(HOPS, kafka, start=start) as hops,
                RecordReader(RESULTS, kafka, start=start) as results,
            ):
                while self._feedback.is_waiting:
                    self._progress("feedback to come", self.evidence.records)
                    for told in await hops.poll():
                        self._feedback.add_hops(told)
                    for result in await results.poll():
                        self._feedback.add_result(result, judged=False)

    async def _read_dead_letters(self) -> None:
        others: list[DeadLetter] = []
        for span in await self.evidence.spans(DEAD_LETTERS, since_ms=_millis(self.verification.since)):
            async for _, letter in self.evidence.read_ours(DEAD_LETTERS, span):
                self._letters += 1
                if isinstance(letter, DeadLetter):
                    self._feedback.add_dead_letter(letter)
                    self._shadows.add_dead_letter(letter)
                if isinstance(letter, DeadLetter) and not self._book.add_dead_letter(letter):
                    # The place is enough: a letter keeps up to a megabyte.
                    others.append(letter.model_copy(update={"value": None, "headers": (), "traceback": None}))
        self._book.finish_dead_letters()
        self._feedback.finish_dead_letters()
        await self._judge_places(others)

    async def _judge_places(self, letters: Sequence[DeadLetter]) -> None:
        """Check that there is, or was, a record where each letter says that it came from."""
        ends: dict[TopicPartition, int] = {}
        for letter in letters:
            tp = TopicPartition(letter.topic, letter.partition)
            is_ours = letter.topic.startswith(self._settings.kafka.prefix)
            if is_ours and 0 <= letter.partition < self._settings.kafka.partitions and tp not in ends:
                ends[tp] = await self.evidence.end(tp)
            if letter.offset >= ends.get(tp, 0):
                name = place(letter.topic, letter.partition, letter.offset)
                self._findings.add(Check.DEAD_LETTER_UNFOUNDED, name, f"no record is there (stage {letter.stage})")

    async def _judge_money(self, served: ServedCalls | None, shared: SharedCalls) -> None:
        since_ms = _millis(self.verification.since)
        lead_ms = self._lead_ms()
        results = await self.evidence.spans(RESULTS, since_ms=since_ms, lead_ms=lead_ms)
        calls = await self.evidence.spans(CALLS, since_ms=since_ms, lead_ms=lead_ms)
        hops = await self.evidence.spans(HOPS, since_ms=since_ms, lead_ms=lead_ms)
        rates = RatesAudit(self._findings, PriceBook(self._settings.prices, self._settings.providers))
        unrouted = UnroutedCalls(self._findings, Window.of(self._window))
        rules = self._call_rules()
        async with open_ledger(self._settings, self._findings, self.evidence, wait_until=self._wait_until) as ledger:
            # A request's calls and its result have the same partition, so one at a time is enough to remember.
            for calls_span, results_span in zip(calls, results, strict=True):
                book = CallBook(self._findings, self._calls, rules, shared=shared, served=served, rates=rates)
                await self._read_calls(calls_span, book, ledger)
                answers = AnswerBook(self._findings, book.ended, unrouted=unrouted, raised=self._book.raised)
                await self._read_results(results_span, answers, ledger)
                book.finish()
            shared.finish()
            rates.finish()
            for span in hops:
                await self._read_hops(span, unrouted, ledger)
            unrouted.finish()
            for spec, spans in ((CALLS, calls), (RESULTS, results), (HOPS, hops)):
                self._progress(f"ledger of {spec.name}", self.evidence.records)
                await ledger.finish(spec, spans)

    def _lead_ms(self) -> int | None:
        """Return from when on is read: what lies in the window before explains what comes after it."""
        return None if self.verification.since is None else _millis(self.verification.since - self._window)

    def _call_rules(self) -> CallRules:
        return CallRules(
            window=Window.of(self._window),
            longest_call=timedelta(seconds=max(model.timeout_s for _, model in self._settings.models())),
            takeover=timedelta(seconds=self._settings.kafka.session_timeout_s / 2),
            now=utc_now(),
            wait_for_batches=self._settings.waits_for_batches,
        )

    async def _read_calls(self, span: Span, book: CallBook, ledger: Ledger) -> None:
        expected = Expected()
        async for raw, call in self.evidence.read_ours(CALLS, span):
            judged = raw.offset >= span.start
            if isinstance(call, CallStarted):
                book.add_started(call, raw.timestamp, judged=judged)
            elif isinstance(call, CallEnded):
                book.add_ended(call, raw.timestamp, judged=judged)
            if judged:
                expected.add(raw.offset, raw.timestamp, call)
        await ledger.compare(CALLS, span, expected)

    async def _read_results(self, span: Span, answers: AnswerBook, ledger: Ledger) -> None:
        expected = Expected()
        async for raw, result in self.evidence.read_ours(RESULTS, span):
            judged = raw.offset >= span.start
            self._book.add_result(result)
            self._feedback.add_result(result, judged=judged)
            answers.add_result(result, raw.timestamp, judged=judged)
            if judged:
                self._results += 1
                self._results_pico += pico_usd(result.cost_usd)
                expected.add(raw.offset, raw.timestamp, result)
        await ledger.compare(RESULTS, span, expected)

    async def _read_hops(self, span: Span, unrouted: UnroutedCalls, ledger: Ledger) -> None:
        expected = Expected()
        async for raw, hops in self.evidence.read_ours(HOPS, span):
            unrouted.add_hops(hops, raw.timestamp)
            self._feedback.add_hops(hops)
            self._shadows.add_hops(hops)
            if raw.offset >= span.start:
                self._hops += len(hops.hops)
                expected.add(raw.offset, raw.timestamp, hops)
        await ledger.compare(HOPS, span, expected)

    async def _judge_unanswered(self) -> None:
        now_ms = int(utc_now().timestamp() * 1000)
        topic = REQUESTS.full_name(self._settings.kafka.prefix)
        for request in self._book.unanswered():
            check = Check.PENDING if now_ms < request.deadline_ms else Check.LOST
            where = place(topic, request.partition, request.offset)
            name = where
            if self._findings.wants_more(check):
                name = await self._request_id(TopicPartition(topic, request.partition), request.offset) or where
            deadline = from_millis(request.deadline_ms).isoformat(timespec="seconds")
            self._findings.add(check, name, f"{where}, deadline {deadline}")

    async def _request_id(self, tp: TopicPartition, offset: int) -> str | None:
        raw = await self.evidence.reader.record_at(tp, offset)
        if raw is None:
            return None
        try:
            return decode(REQUESTS, raw.value, raw.headers).record.request_id
        except DecodeError as error:
            return error.request_id

    def _count(self, served: ServedCalls | None, shared: SharedCalls) -> None:
        calls = self._calls
        self.verification.counts = {
            "requests": self._requests,
            "distinct_requests": self._book.distinct,
            "unreadable_requests": self._book.unreadable,
            "results": self._results,
            "feedback": self._feedback.count,
            "retried_revisions": self._feedback.retries,
            "dead_letters": self._letters,
            "calls_started": calls.starts - shared.extra_starts,
            "calls_ended": calls.ends - shared.extra_ends,
            "calls_shared": len(shared),
            "attempts_ended": calls.attempts,
            "shadow_calls": calls.shadows,
            "hops": self._hops,
        }
        if served is not None:
            self.verification.counts |= {"served_calls": len(served), "served_without_id": served.nameless}
        self.verification.results_cost_usd = usd(self._results_pico)
        self.verification.calls_cost_usd = usd(calls.cost_pico)
        self.verification.shadows_cost_usd = usd(calls.shadow_pico)


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
