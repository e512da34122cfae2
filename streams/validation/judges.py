"""Which judges may judge an answer: never the model that gave it, and one of another family where there is any."""

from collections.abc import Iterator

from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from topics.requests import DataClass
from topics.tasks import Completion


def judges_of(settings: Settings, answer: Completion, data_class: DataClass) -> list[ModelSettings]:
    """List who may judge an answer, in the order of trying.

    Models favour answers that are like their own. So judges of another family than the answerer come first, in the
    order of the settings, then those of its family. The same model never judges, whichever provider serves it, nor one
    that may not see the request.
    """
    judges = [judge for judge in settings.validation.chain if settings.may_see(judge, data_class)]
    others = [judge for judge in judges if _name(judge.model) != _name(answer.model)]
    family = settings.family_of(answer.provider, answer.model)
    return sorted(others, key=lambda judge: settings.family_of(judge.provider, judge.model) == family)


def without_other_family(settings: Settings) -> Iterator[str]:
    """Say of each model of a tier whose answers have no judge of another family, where there is a judge at all."""
    judges = settings.validation.chain
    families = {settings.family_of(judge.provider, judge.model) for judge in judges}
    for tier in settings.tiers if judges else ():
        for model in tier.models:
            family = settings.family_of(model.provider, model.model)
            if families != {family}:
                continue
            others = any(_name(judge.model) != _name(model.model) for judge in judges)
            comes_of_it = "one of its own family judges it" if others else "nobody judges it"
            yield f"tiers[{tier.name}]: {model.ref} has no judge of another family than {family}: {comes_of_it}"


def _name(model: str) -> str:
    """Return a model's own name: providers that serve the models of others put the vendor in front."""
    return model.rpartition("/")[2].casefold()
