"""Whether answers fail more often than before, by intervals that hold however often they are looked at. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, lgamma, log
from typing import Final

_ALPHA: Final = 0.05
"""Of rolling back a model that is no worse, over all looks at it."""
_HALVINGS: Final = 50


@dataclass(frozen=True, slots=True)
class Cell:
    """Requests of one tier and one kind that a version of the classifier decided, and how their first answers did.

    Attributes:
        decided: How many.
        failed: A free check.
        judged: Looked at by a judge.
        refuted: Failed by it.
        complaints: That users were unhappy with.
    """

    decided: int
    failed: int
    judged: int
    refuted: int
    complaints: int


@dataclass(frozen=True, slots=True)
class FailureShare:
    """A share of answers that failed.

    Attributes:
        share: From 0 to 1.
        answers: How many it is as sure as the share of; fewer than were looked at where some stand for many others.
    """

    share: float
    answers: float


@dataclass(frozen=True, slots=True)
class Worsening:
    """Answers fail more often than before, beyond doubt.

    Attributes:
        kind: Of failure.
        before: The share before, with its interval.
        after: The share since.
        before_interval: Of the share before.
        after_interval: Of the share since.
    """

    kind: str
    before: FailureShare
    after: FailureShare
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.kind}: {_percent(self.after.share)} ({_span(self.after_interval)}), "
            f"before {_percent(self.before.share)} ({_span(self.before_interval)})"
        )


def failure_shares(cells: Sequence[Cell]) -> dict[str, FailureShare]:
    """Return the shares of answers that failed, by what saw it; checks and users see all of them, judges a sample.

    A judge looks at the kinds of requests at rates of their own, which change: each look stands for as many answers of
    its cell that passed the checks as there are for one look.
    """
    decided = sum(cell.decided for cell in cells)
    looks = [(cell, max((cell.decided - cell.failed) / cell.judged, 1.0)) for cell in cells if cell.judged]
    total = sum(cell.judged * stands_for for cell, stands_for in looks)
    squares = sum(cell.judged * stands_for**2 for cell, stands_for in looks)
    refuted = sum(cell.refuted * stands_for for cell, stands_for in looks)
    return {
        "failed checks": _share(sum(cell.failed for cell in cells), decided, decided),
        "failed by a judge": _share(refuted, total, total**2 / squares if squares else 0.0),
        "complaints": _share(sum(cell.complaints for cell in cells), decided, decided),
    }


def worsening(before: Sequence[Cell], after: Sequence[Cell], worse_by: float) -> Worsening | None:
    """Return the failures that there are more of than before, beyond doubt; None: there are none.

    However often it is asked while answers come in, it names one in at most a twentieth of the cases in which failures
    are no more frequent than before.

    Args:
        before: Requests that the version before decided.
        after: Those of the version that took its place.
        worse_by: By how much the share must have risen.
    """
    earlier, later = failure_shares(before), failure_shares(after)
    alpha = _ALPHA / (2 * len(earlier))
    for kind, was in earlier.items():
        now = later[kind]
        then, since = anytime_interval(was, alpha), anytime_interval(now, alpha)
        if since[0] > then[1] + worse_by:
            return Worsening(kind, was, now, then, since)
    return None


def anytime_interval(found: FailureShare, alpha: float) -> tuple[float, float]:
    """Return the interval that holds a share at all times at once, but for a probability of `alpha`.

    It is Robbins' mixture: a share p is out once a bet against it, spread evenly over all others, has won 1/alpha. For
    answers that stand for others it is an approximation.
    """
    n, hits = found.answers, found.answers * found.share
    if n <= 0:
        return 0.0, 1.0
    most = log(1 / alpha)
    mixture = lgamma(hits + 1) + lgamma(n - hits + 1) - lgamma(n + 2)

    def is_out(p: float) -> bool:
        return mixture - _log_likelihood(hits, n, p) > most

    return _edge(is_out, found.share, 0.0), _edge(is_out, found.share, 1.0)


def _log_likelihood(hits: float, n: float, p: float) -> float:
    parts = ((hits, p), (n - hits, 1 - p))
    return sum(-inf if q <= 0 else count * log(q) for count, q in parts if count > 0)


def _edge(is_out: Callable[[float], bool], inside: float, outside: float) -> float:
    """Find where values begin to be out, between one that is not and an end."""
    if not is_out(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if is_out(middle) else (middle, outside)
    return inside


def _share(failed: float, of: float, answers: float) -> FailureShare:
    return FailureShare(failed / of if of else 0.0, answers)


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
