"""Whether the candidate of a canary goes on, learned from how its requests fared beside those of its tier."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from streams.config.settings_candidates import CanarySettings
from streams.learning.canary import CanaryFinding, CanaryWatch, canary_of
from streams.learning.evidence import Tried, tried
from streams.learning.lesson import Lesson
from streams.routing.affinity import STAYS
from topics.base import Record
from topics.learned import CanaryState
from topics.results import Result

BY: Final = "learn"
"""Who decides, in the records of this lesson."""


class CanaryLesson(Lesson):
    """Watches one canary.

    What an operator says holds: a canary that one has stopped stays so, and one that is resumed starts anew.

    Args:
        canary: As the settings have it.
        latest: Returns what was said last of the canary, by whomever; None: nothing.
    """

    def __init__(self, canary: CanarySettings, latest: Callable[[], CanaryState | None]) -> None:
        self._canary = canary
        self._latest = latest
        self._watch = CanaryWatch(canary.min_requests)
        self._since: datetime | None = None
        """When an operator had it start anew."""
        self._said: CanaryFinding | None = None

    def on_result(self, result: Result) -> None:
        """Take in how the first call on the tier fared."""
        self._obey()
        if self._since is not None and result.settled_at < self._since:
            return
        first = next((call for call in tried(result.route) if call.attempt.tier == self._canary.tier), None)
        if first is None or first.attempt.why.startswith(STAYS):
            # Nobody drew lots for it.
            return
        name = canary_of(first.attempt.why)
        if name in {None, self._canary.name}:
            self._watch.observe(is_candidate=name is not None, failed=_failed(first))

    def conclusions(self, now: datetime) -> Sequence[Record]:
        """Return the state, where it differs from what was published last."""
        self._obey()
        latest = self._latest()
        if latest is not None and latest.state == "stopped":
            return ()
        finding = self._watch.state()
        if finding == self._said or not finding.candidate_requests:
            return ()
        self._said = finding
        return (finding.record(name=self._canary.name, model=self._canary.model.ref, by=BY, at=now),)

    def _obey(self) -> None:
        latest = self._latest()
        if latest is None or latest.by == BY or (self._since is not None and latest.at <= self._since):
            return
        self._since = latest.at
        self._watch = CanaryWatch(self._canary.min_requests)
        self._said = None


def _failed(call: Tried) -> bool:
    return not call.is_answer or call.value == 0
