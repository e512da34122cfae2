"""Which of several answers that were not good enough is the best to end with."""

from typing import Final

from topics.base import MAX_ID_LENGTH
from topics.tasks import Completion

NO_JUDGE: Final = "no judge"
JUDGE_FAILED: Final = "judge: fail"
_CHECK: Final = "check: "

_BROKEN_OFF, _CHECKED, _JUDGED, _UNJUDGED = range(4)
_PARTS_OF_ANSWERS: Final = {f"{_CHECK}truncated", f"{_CHECK}filtered"}


def check_failed(check: str) -> str:
    """Say that an answer failed a free check."""
    return f"{_CHECK}{check}"


def better(best: Completion | None, failed: Completion, reason: str) -> Completion | None:
    """Return the better one of the best answer so far and one that failed now.

    One without text and calls is none. Else the one that came further counts: what only had no judge, then what a judge
    failed, for it had passed all free checks, then what failed one of these, and last what was broken off. Of two that
    came equally far it is the later one, which is of the higher tier.
    """
    if failed.is_empty:
        return best
    new = failed.model_copy(update={"failed": reason[:MAX_ID_LENGTH]})
    return new if best is None or _came(new) >= _came(best) else best


def _came(answer: Completion) -> int:
    """Return how far an answer came before it failed."""
    reason = answer.failed or ""
    if reason.startswith(NO_JUDGE):
        return _UNJUDGED
    if reason.startswith(JUDGE_FAILED):
        return _JUDGED
    return _BROKEN_OFF if reason in _PARTS_OF_ANSWERS else _CHECKED
