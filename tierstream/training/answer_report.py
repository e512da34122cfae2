"""How good the free checks are on labelled answers: what they catch, what they take for bad, and what that takes."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streams.validation.checks import CHECKS, failed_check
from streams.validation.finished import Finished
from tierstream.training.labelled_answers import GOOD, LabelledAnswer
from tierstream.training.shares import Share

_REPEATS: Final = 3
"""Times that each answer is checked for the clock; the fastest counts."""


@dataclass(frozen=True, slots=True)
class KindFigures:
    """The answers of a kind.

    Attributes:
        kind: Its name.
        failed: Those that fail a check.
        checks: How many each check is the first to fail.
    """

    kind: str
    failed: Share
    checks: dict[str, int]


@dataclass(frozen=True, slots=True)
class CheckFigures:
    """A check by itself, whatever those before it say.

    Attributes:
        check: Its name.
        caught: Of the bad answers.
        false_alarms: Of the good ones.
    """

    check: str
    caught: Share
    false_alarms: Share


@dataclass(frozen=True, slots=True)
class LanguageFigures:
    """The answers to requests in a language."""

    language: str
    caught: Share
    false_alarms: Share


@dataclass(frozen=True, slots=True)
class Miss:
    """A bad answer that passes (check: None), or a good one that fails a check."""

    id: str
    kind: str
    check: str | None


@dataclass(frozen=True, slots=True)
class Took:
    """Time for all checks of an answer, in milliseconds."""

    median: float
    p95: float
    per_1000_characters: float


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """All of it."""

    answers: int
    caught: Share
    false_alarms: Share
    kinds: tuple[KindFigures, ...]
    checks: tuple[CheckFigures, ...]
    languages: tuple[LanguageFigures, ...]
    took_ms: Took
    misses: tuple[Miss, ...]


def report(answers: Sequence[LabelledAnswer], on_progress: Callable[[float], None]) -> AnswerReport:
    """Check labelled answers.

    Args:
        answers: At least one.
        on_progress: Is told the share that is done.
    """
    first: list[str | None] = []
    alone: list[set[str]] = []
    times: list[float] = []
    for number, answer in enumerate(answers, 1):
        check, took = _timed(answer)
        first.append(check)
        times.append(took)
        seen = Finished(answer.request, answer.answer, answer.finish_reason)
        alone.append({name for name, fails in CHECKS.items() if fails(seen)})
        on_progress(number / len(answers))
    bad = [answer.kind != GOOD for answer in answers]
    return AnswerReport(
        answers=len(answers),
        caught=_share([check is not None for check, is_bad in zip(first, bad, strict=True) if is_bad]),
        false_alarms=_share([check is not None for check, is_bad in zip(first, bad, strict=True) if not is_bad]),
        kinds=_by_kind(answers, first),
        checks=tuple(
            CheckFigures(
                name,
                _share([name in found for found, is_bad in zip(alone, bad, strict=True) if is_bad]),
                _share([name in found for found, is_bad in zip(alone, bad, strict=True) if not is_bad]),
            )
            for name in CHECKS
        ),
        languages=_by_language(answers, first),
        took_ms=_took(answers, times),
        misses=tuple(
            Miss(answer.id, answer.kind, check)
            for answer, check in zip(answers, first, strict=True)
            if (answer.kind == GOOD) == (check is not None)
        ),
    )


def _timed(answer: LabelledAnswer) -> tuple[str | None, float]:
    check, best = None, float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        check = failed_check(answer.request, answer.answer, answer.finish_reason)
        best = min(best, time.perf_counter() - start)
    return check, best * 1000


def _took(answers: Sequence[LabelledAnswer], times: Sequence[float]) -> Took:
    ranked = sorted(times)
    per_1000 = [1000 * took / len(answer.answer) for answer, took in zip(answers, times, strict=True) if answer.answer]
    return Took(
        statistics.median(ranked),
        ranked[int(0.95 * (len(ranked) - 1))],
        statistics.median(per_1000) if per_1000 else 0.0,
    )


def _share(happened: Sequence[bool]) -> Share:
    return Share.of_counts(sum(happened), len(happened))


def _by_kind(answers: Sequence[LabelledAnswer], first: Sequence[str | None]) -> tuple[KindFigures, ...]:
    found = []
    for kind in dict.fromkeys(answer.kind for answer in answers):
        checks = [check for answer, check in zip(answers, first, strict=True) if answer.kind == kind]
        counts = Counter(check for check in checks if check is not None)
        found.append(KindFigures(kind, _share([check is not None for check in checks]), dict(counts.most_common())))
    return tuple(found)


def _by_language(answers: Sequence[LabelledAnswer], first: Sequence[str | None]) -> tuple[LanguageFigures, ...]:
    found = []
    for language in sorted({answer.language for answer in answers}):
        rows = [(a.kind, check is not None) for a, check in zip(answers, first, strict=True) if a.language == language]
        bad = _share([failed for kind, failed in rows if kind != GOOD])
        found.append(LanguageFigures(language, bad, _share([failed for kind, failed in rows if kind == GOOD])))
    return tuple(found)
