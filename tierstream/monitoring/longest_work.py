"""How long the work on one record may take: a partition does not stand still as long as a call may be on the wire."""

from collections.abc import Iterable

from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings

_TRIES = 2
"""Of a model for one record: a call that could not be sent, or failed in a way that may pass, is made once more."""


def longest_work_s(settings: Settings, stage: str) -> float:
    """Return the longest time in seconds that a stage may take for one record, by the timeouts of its calls.

    Args:
        settings: Of the deployment.
        stage: Its name, such as `infer:2`.
    """
    name, _, tier = stage.partition(":")
    waits_s = settings.batching(stage).max_wait_ms / 1000 + settings.attempts.patience_s
    if name == "classify":
        llm = settings.routing.llm
        return (llm.budget_ms + llm.batch_wait_ms) / 1000 if settings.routing.asks_llm else 0.0
    if name == "infer":
        candidates = [canary.model for canary in settings.canary if canary.tier == int(tier)]
        waits_s += 2 * settings.attempts.retry_pause_s
        return _TRIES * _one_by_one([*candidates, *settings.tiers[int(tier) - 1].models], waits_s)
    if name == "bulk":
        return settings.bulk.wait_s
    if name == "validate":
        return _TRIES * _one_by_one(_judges(settings), waits_s)
    if name == "shadow":
        # The candidate, and the judges in both orders.
        chains = [[shadow.model, *2 * (shadow.judges or _judges(settings))] for shadow in settings.shadow]
        return _TRIES * max((_one_by_one(chain, waits_s) for chain in chains), default=0.0)
    return 0.0


def _judges(settings: Settings) -> tuple[ModelSettings, ...]:
    return tuple(model for place, model in settings.models() if place.startswith("validation."))


def _one_by_one(models: Iterable[ModelSettings], waits_s: float) -> float:
    return sum(model.timeout_s + waits_s for model in models)
