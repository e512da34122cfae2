"""The sections about candidates: models that answer in the shadow of a tier, or for a share of its requests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from streams.config.section import Section
from streams.config.settings_answers import ValidationSettings
from streams.config.settings_sections import ModelSettings, TierSettings

_SLACK = 1e-9
"""Ten tenths add up to slightly more than one in floating point."""


CandidateName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""Short and without spaces: it stands in reasons and details, and is found there again."""


class ShadowSettings(Section):
    """A model that answers a share of a tier's requests once more, for the sake of comparison alone."""

    name: CandidateName
    tier: Annotated[int, Field(ge=1)]
    model: ModelSettings
    """The candidate. Its limits per minute are its own: they do not bind the same model elsewhere."""
    share: Annotated[float, Field(ge=0, le=1)]
    """Of the requests that a model of the tier answered and no judge waits for."""
    budget_usd_per_day: Annotated[Decimal, Field(ge=0, decimal_places=6)]
    """Of candidate and judges together, over all processes."""
    judges: tuple[ModelSettings, ...] = ()
    """Who compares, in the order of trying; none: those of `validation`."""
    query_types: tuple[str, ...] | None = None
    """None: all."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """How much worse a cheaper candidate may be: losses less wins, as a share of the comparisons."""

    @property
    def target(self) -> str:
        """The circuit breaker of its calls: those of the same model for requests are not to suffer from it."""
        return f"shadow:{self.name}"


class CanarySettings(Section):
    """A model that comes first in a tier's chain for a share of its requests."""

    name: CandidateName
    tier: Annotated[int, Field(ge=1)]
    model: ModelSettings
    share: Annotated[float, Field(ge=0, lt=1)]
    """Below 1: without requests of the tier's own models there is nothing to compare with."""
    min_requests: Annotated[int, Field(ge=1)] = 200
    """Requests of the candidate before it can be said to have passed."""


def candidate_models(
    shadows: Iterable[ShadowSettings], canaries: Iterable[CanarySettings]
) -> Iterator[tuple[str, ModelSettings]]:
    """Yield every model of these sections with its place in the config; those of the shadows' own first."""
    for shadow in shadows:
        yield f"shadow[{shadow.name}]", shadow.model
        for judge in shadow.judges:
            yield f"shadow[{shadow.name}].judges", judge
    for canary in canaries:
        yield f"canary[{canary.name}]", canary.model


def candidate_problems(
    shadows: tuple[ShadowSettings, ...],
    canaries: tuple[CanarySettings, ...],
    tiers: tuple[TierSettings, ...],
    validation: ValidationSettings,
) -> Iterator[tuple[str, str]]:
    """Yield what does not go together: the key of the section, and a sentence."""
    for key, sections in (("shadow", shadows), ("canary", canaries)):
        names = [section.name for section in sections]
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            yield key, f"{key}: {names.count(name)} of them are called {name!r}"
        for section in sections:
            if section.tier > len(tiers):
                yield key, f"{key}[{section.name}]: tier {section.tier} does not exist, there are {len(tiers)}"
    for shadow in shadows:
        judges = shadow.judges or validation.chain
        if all(judge.model == shadow.model.model for judge in judges):
            yield "shadow", f"shadow[{shadow.name}]: it needs a judge besides its own model: set judges"
    for canary in canaries:
        chain = [model.ref for model in tiers[canary.tier - 1].models] if canary.tier <= len(tiers) else []
        if canary.model.ref in chain:
            yield "canary", f"canary[{canary.name}]: {canary.model.ref} is a model of tier {canary.tier} already"
    yield from _too_much(shadows, canaries)


def _too_much(shadows: tuple[ShadowSettings, ...], canaries: tuple[CanarySettings, ...]) -> Iterator[tuple[str, str]]:
    """Find tiers of which more is given away than there is; a request has at most one shadow and one canary."""
    kinds = [None, *dict.fromkeys(kind for shadow in shadows for kind in shadow.query_types or ())]
    taken: dict[tuple[str, int], float] = defaultdict(float)
    for tier in {shadow.tier for shadow in shadows}:
        taken["shadow", tier] = max(
            sum(shadow.share for shadow in shadows if shadow.tier == tier and is_about(shadow, kind)) for kind in kinds
        )
    for canary in canaries:
        taken["canary", canary.tier] += canary.share
    for (key, tier), share in taken.items():
        if share > 1 + _SLACK:
            yield key, f"{key}: the shares of tier {tier} add up to {share:g}, above 1"


def is_about(shadow: ShadowSettings, query_type: str | None) -> bool:
    """Whether a shadow looks at requests of a type; None: one that no shadow names."""
    return shadow.query_types is None or query_type in shadow.query_types
