"""Which candidate a request meets, if any, and who may compare its answer with the one that was given. Pure."""

from collections.abc import Iterable
from typing import TypeVar

from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.config.settings_candidates import CanarySettings, ShadowSettings, is_about
from streams.config.settings_sections import ModelSettings
from streams.learning.canary import canary_of
from streams.learning.digest_share import share_of
from streams.validation.judges import fit_to_judge
from topics.tasks import Attempt, TierTask

C = TypeVar("C", ShadowSettings, CanarySettings)


def canary_for(task: TierTask, settings: Settings) -> CanarySettings | None:
    """Pick the canary of a request on its tier, whatever became of that canary; None: it gets none.

    A conversation that stays with a model is not drawn: it goes on with the candidate where that one began it.
    """
    if not settings.canary:
        return None
    here = (canary for canary in settings.canary if canary.tier == task.tier)
    if task.stays_with is not None:
        return next((canary for canary in here if canary.model.ref == task.stays_with), None)
    return _picked(task.digest, "canary", here)


def shadow_for(task: TierTask, settings: Settings, models: EligibleModels) -> ShadowSettings | None:
    """Pick the shadow of a request that a model of its tier has answered in the last attempt; None: it gets none.

    The answer of a canary's candidate is none of the tier's. One that the shadow's own candidate gave is compared with
    nothing, and so is one that no judge may see.
    """
    if not settings.shadow or not task.attempts or canary_of(task.attempts[-1].why) is not None:
        return None
    kind = task.decision.query_type
    about = (shadow for shadow in settings.shadow if shadow.tier == task.tier and is_about(shadow, kind))
    shadow = _picked(task.digest, "shadow", about)
    if shadow is None or _answered_by(task, settings) == shadow.model:
        return None
    if not models.may_serve(shadow.model, task.request):
        return None
    last = task.attempts[-1]
    return shadow if judges_for(shadow, last.provider, last.model, task, settings) else None


def judges_for(
    shadow: ShadowSettings, provider: str, model: str, task: TierTask, settings: Settings
) -> list[ModelSettings]:
    """List who may compare, in the order of trying: never a model that takes part, and strangers first.

    Args:
        shadow: Whose candidate takes part.
        provider: Of the answer that was given.
        model: That gave it.
        task: The request, which not every provider may see.
        settings: Of the deployment.
    """
    named = shadow.judges or settings.validation.chain
    candidate = (shadow.model.provider, shadow.model.model)
    return fit_to_judge(settings, named, [(provider, model), candidate], task.request.context.data_class)


def _picked(digest: str, what: str, candidates: Iterable[C]) -> C | None:
    """Pick one by their shares; what is left of the whole gets none."""
    at = share_of(digest, what)
    for candidate in candidates:
        if at < candidate.share:
            return candidate
        at -= candidate.share
    return None


def _answered_by(task: TierTask, settings: Settings) -> ModelSettings | None:
    last: Attempt = task.attempts[-1]
    models = settings.tiers[task.tier - 1].models
    return next((one for one in models if (one.provider, one.model) == (last.provider, last.model)), None)
