"""Which version of the classifier decides: the one that was in force when the broker appended the request."""

from dataclasses import dataclass
from typing import Final

from streams.routing.classifier import Classifier

KEPT: Final = 4
"""Most versions in memory: the latest, the one before it, and two for what is delivered again after several changes."""


@dataclass(frozen=True, slots=True)
class _Step:
    since_ms: int
    classifier: Classifier


class ClassifierVersions:
    """The classifiers that were, are and will be in force, by the broker's time.

    A request that is delivered again, to whatever worker, is decided by the same version as the first time, also when
    two activations lie between.

    Args:
        first: In force until another one is.
        kept: Most versions in memory; the oldest go first.
    """

    def __init__(self, first: Classifier, *, kept: int = KEPT) -> None:
        self._steps: tuple[_Step, ...] = (_Step(0, first),)
        self._kept = kept

    def at(self, arrived_ms: int) -> Classifier:
        """Return the version for a request that the broker appended then (ms since the epoch).

        For a time before all that is kept that is the oldest one.
        """
        for step in reversed(self._steps):
            if step.since_ms <= arrived_ms:
                return step.classifier
        return self._steps[0].classifier

    def activate(self, classifier: Classifier, effective_ms: int) -> None:
        """Let a version take force; what was to take force at that time or later no longer does."""
        before = [step for step in self._steps if step.since_ms < effective_ms]
        self._steps = (*before, _Step(effective_ms, classifier))[-KEPT:]
