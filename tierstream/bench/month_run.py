"""A month of drifting traffic through a stack: what was right, what it cost, and what was learned."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from tierstream.bench.month_ledger import cost_by_day, learned_of, steps_of
from tierstream.bench.month_report import Day, MonthRun, RunName, TrainingRound, Verified
from tierstream.bench.month_traffic import PLANTED_AFTER, Asked, MonthPlan, script_of, traffic_of
from tierstream.bench.month_users import said_of
from tierstream.client.feedback import Given, Reply, give, replies
from tierstream.client.request_run import run_requests
from tierstream.demo.demo_run import teach
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.learned import Promotion
from topics.results import Result

Tell = Callable[[str], None]

_GIVE_UP_S: Final = 60.0
_VERIFY_WAIT_S: Final = 60.0
_WEEK: Final = 7
"""Days whose labels are learned from, and that a promoted model is compared with."""


class Lessons(Protocol):
    """What an operator's commands do about models of the classifier."""

    async def train(self, settings: Settings, since: datetime, after_day: int) -> TrainingRound:
        """Run a round of `tierstream learn train` on labels since a moment."""

    async def plant(self, settings: Settings) -> str:
        """Publish and activate a bad model; return its version."""

    async def look_back(self, settings: Settings) -> Promotion | None:
        """Roll back what has turned out worse, as `tierstream learn watch` does."""


@dataclass(frozen=True)
class Arm:
    """A run of the month.

    Attributes:
        name: What it is called.
        users_speak: Whether users say what they think of answers.
        lessons: What is done about models of the classifier; None: nothing.
    """

    name: RunName
    users_speak: bool = False
    lessons: Lessons | None = None


@dataclass
class _Course:
    """What happened in a run so far."""

    asked: dict[str, Asked] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    missing: int = 0
    duplicates: int = 0
    began: list[datetime] = field(default_factory=list)
    """When each day did."""
    replies: list[Reply] = field(default_factory=list)
    rounds: list[TrainingRound] = field(default_factory=list)
    planted: str | None = None

    def since(self, day: int) -> datetime:
        """Return when a day began, or the first one."""
        return self.began[max(day, 1) - 1]


async def run_month(
    settings: Settings, simulator: str, folder: Path, plan: MonthPlan, arm: Arm, tell: Tell
) -> MonthRun:
    """Send a month through a running stack.

    Args:
        settings: With the addresses of Kafka and ClickHouse.
        simulator: URL of the provider simulator, which is told how the models are on each day.
        folder: Of the stack; its usage log is held against the journal.
        plan: What is sent.
        arm: Which run it is.
        tell: Is told what goes on.
    """
    started = time.monotonic()
    course, waiting = _Course(), list[Awaitable[None]]()
    for day in range(1, plan.days + 1):
        tell(f"day {day} of {plan.days}")
        await _live(course, settings, simulator, plan, day)
        if arm.users_speak and (given := await _complain(course, settings, plan, day)):
            waiting.append(asyncio.ensure_future(_collect(course, settings, given)))
        if arm.lessons is not None:
            await _learn(course, settings, plan, day, arm.lessons, tell)
    await asyncio.gather(*waiting)
    seconds = time.monotonic() - started
    tell("verify")
    options = VerifyOptions(usage_logs=(folder / "logs" / "simulator-usage.jsonl",), wait_s=_VERIFY_WAIT_S)
    verification = await verify(settings, options, lambda *_: None)
    findings = verification.findings
    violated = {check.value: findings.counts[check] for check in findings if findings.state(check) == "violated"}
    if findings.counts[Check.PENDING]:
        violated[Check.PENDING.value] = findings.counts[Check.PENDING]
    costs = await cost_by_day(settings, plan.days)
    return MonthRun(
        name=arm.name,
        seconds=round(seconds, 1),
        requests=len(course.asked),
        results=len(course.results),
        missing=course.missing,
        duplicates=course.duplicates,
        days=tuple(day.model_copy(update={"cost_usd": costs[day.day]}) for day in _days(course, plan)),
        steps=await steps_of(settings, course.began),
        rounds=tuple(course.rounds),
        planted=course.planted,
        learned=await learned_of(settings, *_revisions(course)),
        verified=Verified(ok=findings.ok and not violated, violated=violated),
    )


async def _live(course: _Course, settings: Settings, simulator: str, plan: MonthPlan, day: int) -> None:
    """Send the requests of a day and wait for their results."""
    asked = traffic_of(plan, day)
    await teach(simulator, script_of(plan, settings, day, asked))
    course.asked.update({one.request.request_id: one for one in asked})
    course.began.append(utc_now())
    report = await run_requests(
        settings,
        [one.request for one in asked],
        on_result=lambda result: course.results.update({result.request_id: result}),
        timeout_s=_GIVE_UP_S,
        rate=plan.rate,
    )
    course.missing += len(report.missing)
    course.duplicates += report.duplicates


async def _complain(course: _Course, settings: Settings, plan: MonthPlan, day: int) -> list[Given]:
    """Let the users of a day say what they think."""
    found = [
        said_of(course.results[name], is_right=_is_right(one, course.results[name]), seed=plan.seed)
        for name, one in list(course.asked.items())[-plan.requests_of(day) :]
        if name in course.results
    ]
    said = [one for one in found if one is not None]
    return await give(settings, said) if said else []


async def _collect(course: _Course, settings: Settings, given: Sequence[Given]) -> None:
    """Note what came of feedback, with the answers that it asked for."""
    async for reply in replies(settings, given, _GIVE_UP_S):
        course.replies.append(reply)


async def _learn(course: _Course, settings: Settings, plan: MonthPlan, day: int, lessons: Lessons, tell: Tell) -> None:
    """Do what is due after a day."""
    week = course.since(day - _WEEK + 1)
    period = (utc_now() - week) / timedelta(seconds=1)
    of_week = settings.model_copy(update={"learning": settings.learning.model_copy(update={"period_s": period})})
    # First, as `tierstream learn watch` has it: a candidate must not be measured against what is about to go.
    if (page := await lessons.look_back(of_week)) is not None:
        tell(f"{page.version} rolled back: {page.steps[-1].reason}")
    if day in plan.trained_after:
        course.rounds.append(await lessons.train(of_week, week, day))
        tell(f"learned: {course.rounds[-1].state}, {course.rounds[-1].reason}")
    if day == plan.day(PLANTED_AFTER):
        course.planted = await lessons.plant(of_week)
        tell(f"a bad model is activated: {course.planted}")


def _is_right(one: Asked, result: Result) -> bool:
    return result.content is not None and one.entry.right(result.content)


def _revisions(course: _Course) -> tuple[int, int]:
    """Count the answers that feedback asked for, and those of them that are right."""
    anew = [reply.result for reply in course.replies if reply.result is not None]
    found = {(one.request_id, one.revision): one for one in anew}
    return len(found), sum(_is_right(course.asked[name], one) for (name, _), one in found.items())


def _days(course: _Course, plan: MonthPlan) -> list[Day]:
    anew = {reply.result.request_id: reply.result for reply in course.replies if reply.result is not None}
    of_days: dict[int, list[str]] = defaultdict(list)
    names = iter(course.asked)
    for day in range(1, plan.days + 1):
        of_days[day] = [next(names) for _ in range(plan.requests_of(day))]
    return [_day(course, day, of_days[day], anew) for day in of_days]


def _day(course: _Course, day: int, names: Sequence[str], anew: Mapping[str, Result]) -> Day:
    known = [(course.asked[name], course.results[name]) for name in names if name in course.results]
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for one, result in known:
        by_kind[one.kind].append(_is_right(one, result))
    in_the_end = sum(_is_right(one, anew.get(result.request_id, result)) for one, result in known)
    routes = [result.route for _, result in known]
    return Day(
        day=day,
        requests=len(names),
        right=sum(map(sum, by_kind.values())),
        right_in_the_end=in_the_end,
        first_tiers=_counts([route[0].tier for route in routes if route]),
        tiers=_counts([result.tier for _, result in known if result.tier is not None]),
        judged=sum(any(step.stage == "validate" for step in route) for route in routes),
        escalated=sum(any(step.why.startswith("escalated") for step in route) for route in routes),
        right_by_kind={kind: (sum(of_kind), len(of_kind)) for kind, of_kind in sorted(by_kind.items())},
    )


def _counts(tiers: Sequence[int]) -> dict[str, int]:
    return {str(tier): count for tier, count in sorted(Counter(tiers).items())}
