"""How much a model is asked to reason: what the requester wants, in the levels that the model takes."""

from collections.abc import Callable
from typing import Final

from streams.config.model_catalogue import KnownModel
from streams.config.settings_sections import ModelSettings
from streams.providers.base import ChatCall

_LEVELS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From the least to the most."""

Lookup = Callable[[ModelSettings], KnownModel | None]
"""Says what is known of a model."""


def nothing_known(_model: ModelSettings) -> None:
    """Know nothing of any model."""


def effort(call: ChatCall, known: Lookup, parameter: str, *, unknown: KnownModel | None = None) -> str | None:
    """Return the level to ask for; None where none is wanted, or the model is known to have no such parameter.

    It is the highest level of the model that is not above the wanted one, else its lowest.

    Args:
        call: Whose requester wants it, in OpenAI's words.
        known: Says what is known of the model.
        parameter: That steers reasoning in this API, such as `reasoning_effort`.
        unknown: What a model is taken for of which nothing is known; None: for one that takes what is wanted.
    """
    wanted = call.prompt.params.reasoning_effort
    if wanted is None or (model := known(call.model) or unknown) is None:
        return wanted
    taken = model.reasoning.get(parameter)
    if taken is None:
        return None
    ranked = [level for level in _LEVELS if level in taken]
    below = [level for level in ranked if _LEVELS.index(level) <= _LEVELS.index(wanted)]
    return next(reversed(below), next(iter(ranked), wanted))
