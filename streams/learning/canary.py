"""Whether a candidate that serves a share of a tier's requests may go on doing so. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from streams.learning.betting import lower_bound, upper_bound
from topics.learned import CanaryState

ERROR_RATE: Final = 0.05
"""Chance that a candidate which fails no more often than the others is ever stopped."""

_NAMED: Final = re.compile(r"(?:^|, )canary ([A-Za-z0-9._-]+)$")


def canary_why(why: str, name: str) -> str:
    """Say in a route that a candidate was asked first, after why the request is on this tier."""
    return f"{plain_why(why)}, canary {name}"


def plain_why(why: str) -> str:
    """Return the reason without what `canary_why` has added."""
    return _NAMED.sub("", why)


def canary_of(why: str) -> str | None:
    """Return the name of the canary that a line of a route is about; None: it is about no candidate."""
    found = _NAMED.search(why)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class CanaryFinding:
    """What is known of a canary: the fields of `CanaryState` that follow from what was observed."""

    state: Literal["running", "stopped", "passed"]
    reason: str
    candidate_requests: int
    candidate_failures: int
    incumbent_requests: int
    incumbent_failures: int

    def record(self, *, name: str, model: str, by: str, at: datetime) -> CanaryState:
        """Make the record of `llm.control`.

        Args:
            name: Of the canary.
            model: `provider/model` of the candidate.
            by: Who or what decided.
            at: When.
        """
        return CanaryState(
            name=name,
            model=model,
            state=self.state,
            reason=self.reason,
            candidate_requests=self.candidate_requests,
            candidate_failures=self.candidate_failures,
            incumbent_requests=self.incumbent_requests,
            incumbent_failures=self.incumbent_failures,
            by=by,
            at=at,
        )


class CanaryWatch:
    """Counts how requests fared that a candidate was asked first, and those of the tier's own models.

    One observation a request and visit of the tier: that of its first call there. It failed if there was an error of
    the provider, a free check failed, or the judge said fail. The candidate is stopped once the lowest failure rate
    that it may have is above the highest that the others may have; both bounds hold over all looks, so that a candidate
    as good as the others is ever stopped with a chance of at most 5 %. It has passed when it has had `min_requests` and
    its rate is not above the highest that the others may have. What `state` has called stopped stays stopped.

    Args:
        min_requests: Requests of the candidate before it can have passed.
    """

    def __init__(self, min_requests: int) -> None:
        self._min_requests = min_requests
        self._requests = {True: 0, False: 0}
        self._failures = {True: 0, False: 0}
        self._stopped: CanaryFinding | None = None

    def observe(self, *, is_candidate: bool, failed: bool) -> None:
        """Take note of a request's first call on the tier.

        Args:
            is_candidate: Whether the candidate was asked, and not a model of the tier.
            failed: Whether it came to nothing.
        """
        self._requests[is_candidate] += 1
        self._failures[is_candidate] += failed

    def state(self) -> CanaryFinding:
        """Return what follows from all that was observed."""
        if self._stopped is None:
            self._stopped = self._stop()
        return self._stopped or self._finding(*self._standing())

    def _stop(self) -> CanaryFinding | None:
        least, most = self._least(), self._most()
        if least <= most:
            return None
        return self._finding("stopped", f"it fails at least {least:.1%} of the time, the others at most {most:.1%}")

    def _standing(self) -> tuple[Literal["running", "passed"], str]:
        asked, failures = self._requests[True], self._failures[True]
        if asked < self._min_requests:
            return "running", f"{asked} of {self._min_requests} requests"
        rate, most = failures / asked, self._most()
        if rate > most:
            return "running", f"it failed {rate:.1%} of the time, the others fail at most {most:.1%}"
        return (
            "passed",
            f"it failed {failures} of {asked}, the others {self._failures[False]} of {self._requests[False]}",
        )

    def _finding(self, state: Literal["running", "stopped", "passed"], reason: str) -> CanaryFinding:
        counted = (self._requests[True], self._failures[True], self._requests[False], self._failures[False])
        return CanaryFinding(state, reason, *counted)

    def _least(self) -> float:
        """Return the lowest failure rate that the candidate may have."""
        return lower_bound(self._counts(is_candidate=True), lowest=0, alpha=ERROR_RATE / 2)

    def _most(self) -> float:
        """Return the highest failure rate that the tier's own models may have."""
        return upper_bound(self._counts(is_candidate=False), highest=1, alpha=ERROR_RATE / 2)

    def _counts(self, *, is_candidate: bool) -> tuple[tuple[float, int], ...]:
        failures = self._failures[is_candidate]
        return (1.0, failures), (0.0, self._requests[is_candidate] - failures)
