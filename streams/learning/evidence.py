"""What the route of a result says about the answers that its request got."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streams.routing.affinity import STAYS
from streams.validation.checks import CHECKS
from topics.results import Result
from topics.tasks import Attempt

INFER: Final = "infer:"
"""What the names of the stages that ask for answers begin with."""
VALIDATE: Final = "validate"
BY_RULE: Final = "rule "
"""What an attempt's `why` begins with where a rule named the tier."""
ANSWERED: Final = "ok"
_VERDICTS: Final = {"judge_pass": 1.0, "judge_fail": 0.0}


@dataclass(frozen=True, slots=True)
class Tried:
    """A call for an answer, and the judges' calls about it."""

    attempt: Attempt
    judged: tuple[Attempt, ...]

    @property
    def is_answer(self) -> bool:
        """Whether a model answered, well or not."""
        return self.attempt.outcome == ANSWERED or self.attempt.outcome in CHECKS

    @property
    def verdict(self) -> float | None:
        """1 where a judge passed the answer, 0 where one failed it; None: none looked, or said nothing."""
        return next((_VERDICTS[one.outcome] for one in self.judged if one.outcome in _VERDICTS), None)

    @property
    def value(self) -> float | None:
        """1 for a good answer, 0 for a bad one; None: nobody knows, or there was none."""
        return 0.0 if self.attempt.outcome in CHECKS else self.verdict


def tried(route: tuple[Attempt, ...]) -> Iterator[Tried]:
    """Yield the calls for an answer in their order, each with the judges' calls that follow it."""
    for number, attempt in enumerate(route):
        if not attempt.stage.startswith(INFER):
            continue
        judged: list[Attempt] = []
        for later in route[number + 1 :]:
            if later.stage != VALIDATE:
                break
            judged.append(later)
        yield Tried(attempt, tuple(judged))


@dataclass(frozen=True, slots=True)
class FirstTier:
    """The tier that a request went to first, and what became known of its answer there."""

    tier: int
    value: float | None
    """As of `Tried`."""
    cost_usd: float
    """Of the whole request."""
    stands: bool
    """Whether the result is from there."""
    was_chosen: bool
    """Whether the tier was chosen by what the request looks like, not named by a rule or by its conversation."""


def first_tier(result: Result) -> FirstTier | None:
    """Read the route of a result; None where no model was asked for an answer."""
    calls = list(tried(result.route))
    if not calls:
        return None
    first = calls[0].attempt
    last = [call for call in calls if call.attempt.tier == first.tier][-1]
    return FirstTier(
        tier=first.tier,
        value=last.value,
        cost_usd=float(result.cost_usd),
        stands=result.attempt_id == last.attempt.attempt_id,
        was_chosen=not first.why.startswith((BY_RULE, STAYS)),
    )


def ref_of(attempt: Attempt) -> str:
    """Name the model that was asked: `provider/model`."""
    return f"{attempt.provider}/{attempt.model}"
