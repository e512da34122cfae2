"""Decisions as a worker with these settings makes them, with neither a broker nor a provider."""

from collections.abc import Sequence

from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.routing.classifier import Evidence
from streams.routing.policy import bounds_problem
from streams.routing.router import Draft
from tierstream.client.request_file import InputError
from topics.requests import Request

_STRONGEST = 8
_LEAST_SHOWN = 0.005
"""In log odds; less is 0.00 to a reader."""
_ARRIVED_MS = 0


class DryRouter:
    """Decides requests with the configured classifier, rules and limits, among the models that may serve them.

    Raises:
        SettingsError: The model file can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        # Brings Faust with it, which takes a second to import.
        from tierstream.worker import new_router  # noqa: PLC0415

        self._settings = settings
        self._router = new_router(settings, EligibleModels(settings))

    def draft(self, request: Request) -> Draft:
        """Decide a request as a worker does before any language model is asked.

        Raises:
            InputError: Its own bounds can't be met, or no provider may see it.
            NoModelError: No model of the tiers up to its ceiling may serve it.
        """
        if problem := bounds_problem(request, self._settings.top_tier):
            raise InputError(problem)
        if not self._settings.may_serve(request.context.data_class):
            raise InputError(f"context.data_class: no provider may see {request.context.data_class.value} data")
        return self._router.draft(request, request.digest(), _ARRIVED_MS)

    def strongest_evidence(self, request: Request) -> Sequence[Evidence]:
        """Return the few things that moved the scores most, strongest first."""
        found = self._router.evidence(request, _ARRIVED_MS)
        moving = [one for one in found if _strength(one) >= _LEAST_SHOWN]
        return sorted(moving, key=_strength, reverse=True)[:_STRONGEST]


def _strength(evidence: Evidence) -> float:
    return max(map(abs, evidence.moved), default=0.0)
