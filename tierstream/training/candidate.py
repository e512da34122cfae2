"""A candidate of the classifier: trained on a deployment's own traffic, and held against the model that is active."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from streams.config.eligible_models import EligibleModels, NoModelError
from streams.config.settings import Settings
from streams.learning.held_back import Comparison, HeldRequest, compare, verdict
from streams.learning.tier_targets import known_tiers
from streams.routing.classifier import Classifier
from streams.routing.classifier_loading import configured_classifier
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.router import Router
from streams.routing.versions import ClassifierVersions
from tierstream.training.fit_requests import add_traffic
from tierstream.training.own_traffic import LabelledTraffic
from tierstream.training.request_costs import costs_of_calls
from tierstream.worker import new_router

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """How a candidate did on the requests that were held back.

    Attributes:
        comparison: With the active model.
        is_better: Whether it may be promoted.
        reason: Why, or why not.
    """

    comparison: Comparison
    is_better: bool
    reason: str


def base_model(settings: Settings) -> RequestClassifier:
    """Return what is added to: the settings' own model where it is one of requests, else the shipped one.

    Never a candidate of before: labels would count again in each training, and what they were wrong about would stay.

    Raises:
        SettingsError: The model file can't be used.
    """
    found = configured_classifier(settings)
    return found if isinstance(found, RequestClassifier) else RequestClassifier.shipped(settings.routing.boundary[0])


def train_candidate(
    settings: Settings, traffic: Sequence[LabelledTraffic], on_progress: Progress = lambda _: None
) -> RequestClassifier:
    """Add labelled requests to the base.

    Raises:
        TrainingError: They are too few, or all say the same.
        InputError: The settings have other tiers than the model.
        SettingsError: The model file can't be used.
    """
    # Also what it costs must be known: it is what a candidate is measured by.
    costs_of_calls(settings, [], settings.learning.answer_tokens)
    base = base_model(settings)
    return add_traffic([one.request for one in traffic], [one.targets for one in traffic], base, on_progress)


def measure(settings: Settings, held: Sequence[LabelledTraffic], candidate: Classifier, active: Classifier) -> Measured:
    """Compare a candidate with the active model on held-back requests, as the settings' rules and limits have both."""
    comparison = compare([*_routed(settings, held, candidate, active)], settings.learning.wrong_answer_usd)
    return Measured(comparison, *verdict(comparison, settings.learning.min_held))


def model_file(model: RequestClassifier) -> bytes:
    """Return the bytes of a model's file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        model.save(path)
        return path.read_bytes()


def _routed(
    settings: Settings, held: Sequence[LabelledTraffic], candidate: Classifier, active: Classifier
) -> Iterator[HeldRequest]:
    models = EligibleModels(settings)
    routers = [new_router(settings, models, ClassifierVersions(one)) for one in (candidate, active)]
    prices = costs_of_calls(settings, [one.request for one in held], settings.learning.answer_tokens)
    for one, of_tiers in zip(held, prices.tolist(), strict=True):
        try:
            ours, theirs = (_tier(router, one) for router in routers)
        except NoModelError:
            # The settings have changed since it was answered.
            continue
        yield HeldRequest(
            user=one.user,
            known=known_tiers(one.targets),
            beliefs=tuple(active.read(one.request, settings.top_tier).needs),
            prices=tuple(of_tiers),
            candidate=ours,
            active=theirs,
            weight=max(target.enough + target.more for target in one.targets),
        )


def _tier(router: Router, one: LabelledTraffic) -> int:
    """Return the tier before any language model is asked, which both would ask alike."""
    return router.draft(one.request, one.request.digest(), 0).decision.tier
