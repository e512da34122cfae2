"""What a run with good and bad answers came to, as it is printed and as JSON."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict

from tierstream.bench.answer_course import Course
from tierstream.bench.answer_pairs import AnswerPair
from tierstream.bench.distribution import Distribution
from tierstream.bench.pipeline_report import Machine
from tierstream.training.labelled_answers import GOOD
from tierstream.training.shares import Share
from topics.results import Result

_THOUSAND = 1000
ALL_BAD = "all bad"


@dataclass(frozen=True, slots=True)
class AnsweredPair:
    """A pair whose answer went through the stack."""

    pair: AnswerPair
    result: Result
    course: Course


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Stopped(_Figures):
    """Answers of one kind. Bad ones that are stopped were caught, good ones that are stopped are false alarms."""

    kind: str
    answers: int
    checks: Share
    """Stopped by a free check, of all."""
    by_check: dict[str, int]
    judge: Share
    """Stopped by the judge, of those that it looked at."""
    stopped: Share
    """By either, of all."""
    published: Share
    """The others: of bad answers those that were missed."""

    @classmethod
    def of(cls, kind: str, found: Sequence[AnsweredPair]) -> Self:
        """Count the answers of one kind."""
        courses = [one.course for one in found]
        by_check = Counter(course.check for course in courses if course.check is not None)
        stopped = sum(course.stopped for course in courses)
        judged = [course.verdict for course in courses if course.verdict is not None]
        return cls(
            kind=kind,
            answers=len(courses),
            checks=Share.of_counts(by_check.total(), len(courses)),
            by_check=dict(by_check.most_common()),
            judge=Share.of_counts(judged.count("fail"), len(judged)),
            stopped=Share.of_counts(stopped, len(courses)),
            published=Share.of_counts(len(courses) - stopped, len(courses)),
        )


class Endings(_Figures):
    """What requesters got in the end."""

    right: int
    """An answer that nothing is wrong with."""
    right_degraded: int
    """The same, marked as one that no tier could better: a false alarm at every tier."""
    wrong: int
    """The bad answer of the file."""
    wrong_degraded: int
    """The same, marked so."""
    other: int
    """Anything else, or nothing."""

    @classmethod
    def of(cls, found: Iterable[AnsweredPair]) -> Self:
        """Hold what was published against the file."""
        counts = Counter(map(_ending, found))
        return cls(**{name: counts[name] for name in cls.model_fields})


def _ending(one: AnsweredPair) -> str:
    text = (one.result.content or "").strip()
    degraded = "" if one.result.status == "ok" else "_degraded"
    if text == one.pair.right_answer.strip():
        return f"right{degraded}"
    return f"wrong{degraded}" if text == one.pair.answer.strip() else "other"


class AddedCost(_Figures):
    """What all requests of one arm cost, as the ledger has it, and what of that is for looking at answers."""

    requests: int
    spend_usd: Decimal
    judge_calls: int
    judges_usd: Decimal
    judges_share: float
    judges_per_1000_usd: float
    """For 1,000 requests."""
    unneeded_usd: Decimal
    """For answers of higher tiers where there was a right one; without what judges said of them."""
    unneeded_share: float
    unneeded_per_1000_usd: float

    @classmethod
    def of(cls, found: Sequence[AnsweredPair], requests: int, ledger: Mapping[str, Decimal]) -> Self:
        """Add up; shares are 0 where nothing was spent.

        Args:
            found: The measured ones.
            requests: All that have a result.
            ledger: Cost by purpose.
        """
        spend, judges = sum(ledger.values(), start=Decimal(0)), ledger.get("judge", Decimal(0))
        unneeded = sum((one.course.unneeded_usd for one in found), start=Decimal(0))
        return cls(
            requests=requests,
            spend_usd=spend,
            judge_calls=sum(one.course.judges for one in found),
            judges_usd=judges,
            judges_share=_ratio(judges, spend),
            judges_per_1000_usd=_ratio(judges * _THOUSAND, Decimal(requests)),
            unneeded_usd=unneeded,
            unneeded_share=_ratio(unneeded, spend),
            unneeded_per_1000_usd=_ratio(unneeded * _THOUSAND, Decimal(requests)),
        )


def _ratio(part: Decimal, whole: Decimal) -> float:
    return round(float(part / whole), 6) if whole else 0.0


class Latency(_Figures):
    """From the broker's append of the request to its settlement, in milliseconds."""

    way: str
    requests: int
    latency_ms: Distribution | None

    @classmethod
    def of(cls, way: str, found: Iterable[AnsweredPair]) -> Self:
        """Rank the requests that went one way."""
        values = [one.result.latency_ms for one in found]
        return cls(way=way, requests=len(values), latency_ms=Distribution.of(values))


_WAYS: tuple[tuple[str, Callable[[Course], bool]], ...] = (
    ("plain", lambda course: not course.judges and not course.escalated),
    ("judged", lambda course: course.verdict == "pass" and not course.escalated),
    ("escalated by a check", lambda course: course.check is not None and course.escalated and not course.judges),
    ("escalated by the judge", lambda course: course.verdict == "fail" and course.escalated),
)


def latencies(found: Sequence[AnsweredPair]) -> tuple[Latency, ...]:
    """Rank the latencies by what was done about the first answer."""
    return tuple(Latency.of(name, [one for one in found if goes(one.course)]) for name, goes in _WAYS)


class Judge(_Figures):
    """The simulated judge: what it says follows from the script, so that its share is an assumption."""

    model: str
    error_rate: float
    sample_rate: float
    """Share of the answers that were chosen for it; those that a check stopped it does not see."""
    note: str

    @classmethod
    def simulated(cls, model: str, error_rate: float, sample_rate: float) -> Self:
        """Say in words what its figures are worth."""
        note = (
            f"simulated judge, {error_rate * 100:g} % errors: it knows the right answers, so that what it stops is an "
            "assumption of the simulator and no measurement"
        )
        return cls(model=model, error_rate=error_rate, sample_rate=sample_rate, note=note)


class AnswersReport(_Figures):
    """A whole run."""

    machine: Machine
    seed: int
    rate: float
    judge: Judge | None
    """None: no answer was to be judged."""
    pairs: int
    """In the file."""
    repeated: tuple[str, ...]
    """Pairs that were left out, by id: their question is that of one before."""
    requests: int
    results: int
    missing: int
    duplicates: int
    unmeasured: tuple[str, ...]
    """Pairs of which a request did not get the answer of the file from the first tier; they are in no figure."""
    good: Stopped
    bad: Stopped
    kinds: tuple[Stopped, ...]
    """The bad ones, by what is wrong with them."""
    endings: Endings
    without_judge: AddedCost
    with_judge: AddedCost
    latency: tuple[Latency, ...]

    @property
    def complete(self) -> bool:
        """Whether each request has one result."""
        return not self.missing and not self.duplicates


def stopped_by_kind(found: Sequence[AnsweredPair]) -> dict[str, Stopped]:
    """Count by kind; `good` and `all bad` are there in any case."""
    bad = [one for one in found if not one.pair.is_good]
    by_kind: dict[str, list[AnsweredPair]] = {}
    for one in bad:
        by_kind.setdefault(one.pair.kind, []).append(one)
    good = [one for one in found if one.pair.is_good]
    groups = {GOOD: good, ALL_BAD: bad, **dict(sorted(by_kind.items()))}
    return {kind: Stopped.of(kind, members) for kind, members in groups.items()}
