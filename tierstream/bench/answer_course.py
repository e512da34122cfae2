"""What became of an answer, as the route of the result tells it: who stopped it, and what that cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import Final, Literal

from streams.providers.base import ErrorKind
from topics.results import Result
from topics.tasks import Attempt

_INFER: Final = "infer:"
_VALIDATE: Final = "validate"
_VERDICTS: Final[dict[str, Literal["pass", "fail"]]] = {"judge_pass": "pass", "judge_fail": "fail"}
_NO_ANSWER: Final = frozenset(kind.value for kind in ErrorKind) - {ErrorKind.EMPTY.value}
"""Outcomes of calls without an answer. One without a text is an answer that fails a check, whoever notices it."""
_PASSED: Final = "ok"


@dataclass(frozen=True, slots=True)
class Course:
    """The way of one request, whose first answer is the one of the file.

    Attributes:
        check: The free check that stopped the answer; None: it passed all.
        verdict: What the judge said of it; None: none looked, or none could be had.
        escalated: Whether a higher tier answered too.
        judges: Calls of the judge, for this answer and for later ones.
        unneeded_usd: What answers cost that were asked for though there was a right one.
    """

    check: str | None
    verdict: Literal["pass", "fail"] | None
    escalated: bool
    judges: int
    unneeded_usd: Decimal

    @property
    def stopped(self) -> bool:
        """Whether the answer was held back."""
        return self.check is not None or self.verdict == "fail"


def course_of(result: Result, right_from: int) -> Course | None:
    """Read the route of a result; None where the first tier gave no answer.

    Args:
        result: As it was published.
        right_from: The lowest tier that answers right.
    """
    route = result.route
    answers = [place for place, attempt in enumerate(route) if _is_answer(attempt)]
    if not answers or route[answers[0]].tier != 1:
        return None
    first = answers[0]
    looks = takewhile(lambda attempt: attempt.stage == _VALIDATE, route[first + 1 :])
    verdicts = [_VERDICTS[attempt.outcome] for attempt in looks if attempt.outcome in _VERDICTS]
    outcome = route[first].outcome
    return Course(
        check=None if outcome == _PASSED else outcome,
        verdict=verdicts[-1] if verdicts else None,
        escalated=len(answers) > 1,
        judges=sum(attempt.stage == _VALIDATE for attempt in route),
        unneeded_usd=_after_a_right_one(route, answers, right_from),
    )


def _is_answer(attempt: Attempt) -> bool:
    return attempt.stage.startswith(_INFER) and attempt.outcome not in _NO_ANSWER


def _after_a_right_one(route: Sequence[Attempt], answers: Sequence[int], right_from: int) -> Decimal:
    right = next((place for place in answers if route[place].tier >= right_from), len(route))
    later = (attempt.cost_usd for attempt in route[right + 1 :] if attempt.stage.startswith(_INFER))
    return sum(later, start=Decimal(0))
