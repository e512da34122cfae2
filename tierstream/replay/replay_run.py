"""A replay from end to end: reads the record, decides each request again, and estimates what another policy changes."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from streams.config.eligible_models import EligibleModels
from streams.config.prompt_size import size_of
from streams.config.settings import Settings
from streams.config.tokens import Tokenizer
from streams.config.tokens import estimate as estimated_tokens
from streams.kafka.clock import utc_now
from streams.routing.versions import ClassifierVersions
from tierstream.client.request_file import InputError
from tierstream.replay.decide import Decider, Replayed, decider, models_for
from tierstream.replay.estimate import Estimate, estimate
from tierstream.replay.history import History, Votes, read_history, read_votes
from tierstream.replay.plan import Plan
from tierstream.replay.record import Record, RecordedRequest, read_record
from tierstream.replay.report import (
    ChangedRequest,
    Coverage,
    ReplayReport,
    changed_requests,
    differences_of,
    policy_report,
)
from tierstream.replay.traffic import recorded_requests
from topics.requests import Request

Progress = Callable[[float], None]

_TOKENIZER_SAMPLE: Final = 300
_READ, _DECIDED = 0.25, 0.85
"""Shares of the work that are done by then."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        report: Its figures.
        requests: The requests, in the order of their places in Kafka.
        estimate: What the policy changes for each; None: there is none.
    """

    report: ReplayReport
    requests: list[Replayed]
    estimate: Estimate | None

    def changes(self) -> Iterator[ChangedRequest]:
        """Yield each request that would go another way or cost something else."""
        return iter(()) if self.estimate is None else changed_requests(self.requests, self.estimate)


async def replay(
    base: Settings,
    policy: Settings | None,
    since: datetime,
    until: datetime,
    *,
    most: int | None = None,
    on_progress: Progress = lambda _: None,
) -> Replay:
    """Decide recorded requests again, without any call, and say what another policy would have changed.

    Args:
        base: The settings of the deployment, with its addresses.
        policy: The other policy; None: only whether these settings reproduce the record.
        since: From when on requests were appended.
        until: Until when.
        most: Requests at most, a sample; None: all.
        on_progress: Called with the share that is done.

    Raises:
        InputError: Nothing is recorded in the window, or nothing of it can be replayed.
        SettingsError: A configured model can't be used.
        ClickHouseUnavailable: ClickHouse can't be used.
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    began = time.monotonic()
    record = await read_record(base, since, until, most, lambda done: on_progress(_READ * done))
    if not record.requests:
        raise InputError(_nothing(since, until))
    history = await read_history(base)
    votes = await _votes(base, policy, record)
    found = _Deciders(base, policy, history, votes)
    replayed = await _decided(base, record, found, on_progress)
    coverage = _coverage(record, replayed)
    if not replayed:
        raise InputError(_unreplayable(coverage, since, until))
    estimated = None
    if policy is not None:
        plan = Plan(base, policy, found.models.windows)
        estimated = estimate(
            replayed, plan, dict(found.tokens), lambda done: on_progress(_DECIDED + (1 - _DECIDED) * done)
        )
    on_progress(1.0)
    differences = differences_of(replayed)
    report = ReplayReport(
        since=since,
        until=until,
        coverage=coverage,
        recorded_usd=sum((one.record.cost_usd for one in replayed), start=Decimal(0)),
        reproduced=len(replayed) - sum(one.requests for one in differences),
        differences=differences,
        unread=history.unread,
        policy=None
        if policy is None or estimated is None
        else policy_report(replayed, estimated, _unseen(policy, replayed)),
        seconds=round(time.monotonic() - began, 3),
    )
    return Replay(report, replayed, estimated)


class _Deciders:
    """Decides requests by the settings of the deployment, and by the policy where there is one."""

    def __init__(self, base: Settings, policy: Settings | None, history: History, votes: Votes) -> None:
        classifiers = history.classifiers(base)
        self._base = decider(base, EligibleModels(base), classifiers, history.policies, votes)
        settings = policy or base
        self._settings, self.models = settings, EligibleModels(settings)
        self._policy: Decider | None = None
        if policy is not None:
            own = _classifiers(base, policy, history, classifiers)
            self._policy = decider(policy, self.models, own, history.policies, votes)
        self.tokens: Counter[str] = Counter()
        self._measured = 0

    def decide(self, one: RecordedRequest, request: Request) -> Replayed | None:
        """Decide a request; None where the record has no decision."""
        was = one.decision
        if was is None:
            return None
        again = self._base.decide(request, one.asked_ms, was_late=was.was_late)
        then, tokens = again, 0
        models: tuple[int, ...] = ()
        if self._policy is not None:
            then = self._policy.decide(request, one.asked_ms, was_late=was.was_late)
            models = models_for(request, self._settings, self.models)
            tokens = self._count(request)
        decision = again.decision or then.decision
        kind = decision.query_type if decision is not None else one.query_type
        return Replayed(one, was, again, then, models, tokens, kind, request.context.data_class)

    def _count(self, request: Request) -> int:
        """Estimate the tokens of a prompt; of the first few by all tokenizers, to know how they differ."""
        size = size_of(request.messages, request.tools, request.answer_schema)
        found = sum(estimated_tokens(text, Tokenizer.O200K) for text in size.texts)
        if self._measured < _TOKENIZER_SAMPLE:
            self._measured += 1
            for tokenizer in Tokenizer:
                self.tokens[tokenizer] += sum(estimated_tokens(text, tokenizer) for text in size.texts)
        return found + size.other_tokens


def _classifiers(
    base: Settings, policy: Settings, history: History, classifiers: ClassifierVersions
) -> ClassifierVersions:
    """Return what scores under the policy: the model that it names, else what was in force when."""
    if policy.routing.model != base.routing.model:
        return History((history.steps[0],), history.policies).classifiers(policy)
    # A classifier knows from where on the router sends a request up.
    return classifiers if policy.routing.boundary == base.routing.boundary else history.classifiers(policy)


async def _votes(base: Settings, policy: Settings | None, record: Record) -> Votes:
    if not (base.routing.asks_llm or (policy is not None and policy.routing.asks_llm)):
        return Votes()
    first = min(one.asked_ms for one in record.requests)
    last = max(one.settled_ms for one in record.requests)
    return await read_votes(base, first, last + round(base.delivery.dedup_window_s * 1000))


async def _decided(base: Settings, record: Record, found: _Deciders, on_progress: Progress) -> list[Replayed]:
    replayed, total = [], len(record.requests)
    done = 0
    async for one, request in recorded_requests(base, record):
        done += 1
        if done % 100 == 0:
            on_progress(_READ + (_DECIDED - _READ) * done / total)
        if (decided := found.decide(one, request)) is not None:
            replayed.append(decided)
    return replayed


def _coverage(record: Record, replayed: list[Replayed]) -> Coverage:
    settled = len(record.requests)
    undecided = sum(one.decision is None for one in record.requests)
    return Coverage(
        settled=settled, undecided=undecided, gone=settled - undecided - len(replayed), replayed=len(replayed)
    )


def _unseen(policy: Settings, replayed: list[Replayed]) -> list[str]:
    answered = {call.ref for one in replayed for call in one.record.calls if call.purpose == "infer" and not call.error}
    return sorted({model.ref for tier in policy.tiers for model in tier.models[:1]} - answered)


def _nothing(since: datetime, until: datetime) -> str:
    late = " (the sink may not have written the last ones yet)" if until > utc_now() - timedelta(minutes=1) else ""
    return f"no result of a request is recorded between {_moment(since)} and {_moment(until)}{late}"


def _unreplayable(coverage: Coverage, since: datetime, until: datetime) -> str:
    window = f"between {_moment(since)} and {_moment(until)}"
    if coverage.gone:
        return (
            f"{coverage.settled} requests are recorded {window}, but Kafka no longer keeps them: "
            "a replay reaches back as far as the retention of the topic of requests"
        )
    return f"{coverage.settled} requests are recorded {window}, none of which was decided: all were refused"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
