"""Which judges may judge an answer: never the model that gave it, and one of another family where there is any."""

from collections.abc import Iterable, Iterator, Sequence

from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from topics.requests import DataClass
from topics.tasks import Completion


def judges_of(settings: Settings, answer: Completion, data_class: DataClass) -> list[ModelSettings]:
    """List who may judge an answer, in the order of trying; `fit_to_judge` has the rule."""
    return fit_to_judge(settings, settings.validation.chain, [(answer.provider, answer.model)], data_class)


def fit_to_judge(
    settings: Settings, judges: Iterable[ModelSettings], answerers: Sequence[tuple[str, str]], data_class: DataClass
) -> list[ModelSettings]:
    """List which of some judges may judge what others have answered, in the order of trying.

    Models favour answers that are like their own. So judges of other families than the answerers come first, in the
    order given, then those of their families. The same model never judges, whichever provider serves it, nor one that
    may not see the request.

    Args:
        settings: Of the deployment.
        judges: To choose from.
        answerers: Providers and models whose answers are judged.
        data_class: Of the request.
    """
    names = {_name(model) for _, model in answerers}
    families = {settings.family_of(provider, model) for provider, model in answerers}
    able = [judge for judge in judges if settings.may_see(judge, data_class) and _name(judge.model) not in names]
    return sorted(able, key=lambda judge: settings.family_of(judge.provider, judge.model) in families)


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
