"""What came of a replay, for a reader and as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from tierstream.replay.decide import Replayed
from tierstream.replay.estimate import Estimate, Spread
from tierstream.replay.regression import Floats
from topics.base import from_millis

_PLACES: Final = 9


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Coverage(_Part):
    """Which requests of the window could be replayed.

    Attributes:
        settled: Results of the window, as many as were asked for.
        undecided: Of these, those without a decision on record, such as rejected ones; they are not replayed.
        gone: Those that Kafka no longer keeps, or whose record can't be read.
        replayed: All others.
    """

    settled: int
    undecided: int
    gone: int
    replayed: int


class Difference(_Part):
    """Decisions that come out differently than they are on record, under the settings of the deployment."""

    cause: str
    requests: int
    example: str
    """The id of one."""


class Expected(_Part):
    """A figure on record and under the policy, with its 95 % interval."""

    recorded: float
    expected: float
    low: float
    high: float


class Move(_Part):
    """Requests that start on another tier; tier 0: they would be refused."""

    from_tier: int
    to_tier: int
    requests: int
    recorded_usd: float
    expected_usd: float


class PolicyReport(_Part):
    """What another policy is expected to change.

    Attributes:
        changed: Requests that do not go as they went: another tier, model, ceiling or judge.
        extrapolated: Of these, those whose like the record hardly has where they would go.
        voteless: Requests that a language model would be asked about, of which the record has no vote.
        unseen: Models of the policy that gave no answer on record.
        failed_first: Share of requests whose first answer fails a check or a judge.
        ended_badly: Share of requests without a good answer.
        wrong: Share of requests with a bad answer that nobody looked at; None where too few were looked at to tell.
    """

    changed: int
    extrapolated: int
    voteless: int
    unseen: tuple[str, ...]
    cost_usd: Expected
    p50_ms: tuple[float, float]
    p95_ms: tuple[float, float]
    failed_first: Expected
    ended_badly: Expected
    wrong: Expected | None
    moves: tuple[Move, ...]


class ReplayReport(_Part):
    """A replay: how much of the record its settings reproduce, and what another policy would change."""

    since: datetime
    until: datetime
    coverage: Coverage
    recorded_usd: Decimal
    reproduced: int
    differences: tuple[Difference, ...]
    unread: dict[str, str]
    """Versions of the classifier that can't be loaded any more, and why."""
    policy: PolicyReport | None
    seconds: float


class ChangedRequest(_Part):
    """A line of the CSV file."""

    request_id: str
    asked_at: datetime
    from_tier: int
    to_tier: int
    rule: str
    classifier: str
    recorded_usd: Decimal
    expected_usd: float
    extrapolated: bool


def differences_of(replayed: Sequence[Replayed]) -> tuple[Difference, ...]:
    """Count what comes out differently, by cause; the most frequent one first."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for one in replayed:
        if (cause := one.cause) is not None:
            counts[cause.value] += 1
            examples.setdefault(cause.value, one.record.request_id)
    return tuple(Difference(cause=name, requests=n, example=examples[name]) for name, n in counts.most_common())


def policy_report(replayed: Sequence[Replayed], found: Estimate, unseen: Sequence[str]) -> PolicyReport:
    """Sum up an estimate."""
    recorded = np.array([one.record.latency_ms for one in replayed])
    wrong = None
    if found.is_wrong is not None and found.was[2] is not None:
        wrong = _expected(found.was[2], found.is_wrong)
    return PolicyReport(
        changed=int((~found.leaves).sum()),
        extrapolated=int(found.extrapolated.sum()),
        voteless=sum(one.then.is_voteless for one in replayed),
        unseen=tuple(unseen),
        cost_usd=_expected(float(found.recorded_usd.sum()), found.usd),
        p50_ms=_quantiles(recorded, found.latency_ms, 0.5),
        p95_ms=_quantiles(recorded, found.latency_ms, 0.95),
        failed_first=_expected(found.was[0], found.first_fails),
        ended_badly=_expected(found.was[1], found.ends_badly),
        wrong=wrong,
        moves=_moves(replayed, found),
    )


def changed_requests(replayed: Sequence[Replayed], found: Estimate) -> Iterator[ChangedRequest]:
    """Yield each request that does not go as it went, or does not cost what it cost."""
    for number, one in enumerate(replayed):
        recorded, expected = found.recorded_usd[number], found.expected_usd[number]
        if found.leaves[number] and round(recorded - expected, _PLACES) == 0:
            continue
        decision = one.then.decision
        yield ChangedRequest(
            request_id=one.record.request_id,
            asked_at=from_millis(one.record.asked_ms),
            from_tier=one.was.tier,
            to_tier=one.then.tier,
            rule=(decision.rule if decision else None) or "",
            classifier=decision.classifier if decision else "",
            recorded_usd=one.record.cost_usd,
            expected_usd=round(float(expected), _PLACES),
            extrapolated=bool(found.extrapolated[number]),
        )


def _expected(recorded: float, spread: Spread) -> Expected:
    rounded = (round(value, _PLACES) for value in (recorded, spread.value, spread.low, spread.high))
    return Expected(**dict(zip(("recorded", "expected", "low", "high"), rounded, strict=True)))


def _quantiles(recorded: Floats, expected: Floats, share: float) -> tuple[float, float]:
    return round(float(np.quantile(recorded, share)), 3), round(float(np.quantile(expected, share)), 3)


def _moves(replayed: Sequence[Replayed], found: Estimate) -> tuple[Move, ...]:
    """Sum by the tiers from and to; those that start where they started among them, as they may cost something else."""
    rows: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, one in enumerate(replayed):
        rows[one.was.tier, one.then.tier].append(number)
    return tuple(
        Move(
            from_tier=start,
            to_tier=end,
            requests=len(numbers),
            recorded_usd=round(float(found.recorded_usd[numbers].sum()), _PLACES),
            expected_usd=round(float(found.expected_usd[numbers].sum()), _PLACES),
        )
        for (start, end), numbers in sorted(rows.items())
    )
