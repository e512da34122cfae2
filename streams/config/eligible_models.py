"""Which models may serve a request: each may see it, takes what it needs, and has room for it.

A request that names its model has that one alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streams.config.context_windows import ContextWindows
from streams.config.model_catalogue import ModelTable
from streams.config.request_needs import needs
from streams.config.setting_types import Capability
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from topics.requests import Request

_MOVED_UP: Final = re.compile(r"(?:context window of|[a-z ]+:) tier \d+")

Needs = Mapping[Capability, str]
"""What a request needs, each with the field that asks for it."""


class NoModelError(Exception):
    """No model of the tiers that are allowed may serve the request; the message says for which field, and why."""


@dataclass(frozen=True, slots=True)
class Start:
    """The lowest tier that may serve a request.

    Attributes:
        tier: Its number.
        reason: What is lacking below it; None: nothing is, or the request names its model.
    """

    tier: int
    reason: str | None = None


class EligibleModels:
    """The models of the settings, and what they take; what the settings say wins over the shipped table."""

    def __init__(self, settings: Settings) -> None:
        self.windows = ContextWindows(settings)
        self._settings = settings
        table = ModelTable(settings.providers)
        self._takes = {_key(model): table.takes(model) for _, model in settings.models()}
        self._named: dict[str, tuple[str, ...]] = {}
        for ref, model in {model.ref: model for tier in settings.tiers for model in tier.models}.items():
            self._named[model.model] = (*self._named.get(model.model, ()), ref)
        # A model's whole name counts before the id that another provider has for one of its own.
        self._named |= {ref: (ref,) for refs in self._named.values() for ref in refs}

    def takes(self, model: ModelSettings) -> frozenset[Capability]:
        """Return what a model of the settings takes besides text."""
        return self._takes[_key(model)]

    def may_serve(self, model: ModelSettings, request: Request) -> bool:
        """Whether a model of the settings may see a request, takes what it needs, and has room for it."""
        return self._may_be_asked(model, request) and self._suits(model, request, needs(request))

    def of_tier(self, tier: int, request: Request) -> Iterator[ModelSettings]:
        """Yield the models of a tier that may serve a request, in the order of its chain."""
        needed = needs(request)
        for model in self._asked(tier, request):
            if self._suits(model, request, needed):
                yield model

    def named(self, request: Request) -> str | None:
        """Return `provider/model` of the one model that a request asks for; None: whichever will do.

        Raises:
            NoModelError: No tier has it, or its name is that of several.
        """
        if request.model is None:
            return None
        refs = self._named.get(request.model, ())
        if not refs:
            raise NoModelError("model: the deployment has no model of that name")
        if len(refs) > 1:
            raise NoModelError(f"model: several have that name: {', '.join(refs)}")
        return refs[0]

    def lowest_tier(self, request: Request, tier: int, ceiling: int) -> Start:
        """Return the lowest tier, from `tier` to `ceiling`, with a model that may serve the request.

        Tiers without one are passed over, and it is `tier` where no model up to `ceiling` may see the request: who may
        see what is not decided here, but for the model that the request itself names.

        Raises:
            NoModelError: There are models that may see it, and none serves; or the model that it names does not.
        """
        needed = needs(request)
        seen: list[ModelSettings] = []
        for number in range(tier, ceiling + 1):
            models = self._asked(number, request)
            if any(self._suits(model, request, needed) for model in models):
                if request.model is not None:
                    return Start(number)
                return Start(number, self._reason(seen, needed, tier, number)) if seen else Start(tier)
            seen += models
        if seen:
            raise NoModelError(self._explained(request, needed, seen))
        if (named := self.named(request)) is not None:
            raise NoModelError(self._out_of_reach(named, request, tier, ceiling))
        return Start(tier)

    def _asked(self, tier: int, request: Request) -> list[ModelSettings]:
        return [model for model in self._settings.tiers[tier - 1].models if self._may_be_asked(model, request)]

    def _may_be_asked(self, model: ModelSettings, request: Request) -> bool:
        if request.model is not None and model.ref not in self._named.get(request.model, ()):
            return False
        return self._settings.may_see(model, request.context.data_class)

    def _suits(self, model: ModelSettings, request: Request, needed: Needs) -> bool:
        return (not needed or needed.keys() <= self.takes(model)) and self.windows.holds(model, request)

    def _lacking(self, models: list[ModelSettings], needed: Needs) -> list[Capability]:
        """Return what none of the models takes, or all where none takes it together; nothing where room is lacking."""
        taken = [self.takes(model) for model in models]
        if any(needed.keys() <= one for one in taken):
            return []
        return [capability for capability in needed if not any(capability in one for one in taken)] or list(needed)

    def _reason(self, passed: list[ModelSettings], needed: Needs, tier: int, start: int) -> str:
        lacking = self._lacking(passed, needed)
        return f"{_words(lacking)}: tier {start}" if lacking else f"context window of tier {tier}"

    def _explained(self, request: Request, needed: Needs, models: list[ModelSettings]) -> str:
        lacking = self._lacking(models, needed)
        if not lacking:
            able = [model for model in models if needed.keys() <= self.takes(model)]
            return self.windows.why_too_long(request, able)
        named = self.named(request)
        who = f"{named} does not take" if named else "no model of the allowed tiers takes"
        return f"{needed[lacking[0]]}: {who} {_words(lacking)}"

    def _out_of_reach(self, named: str, request: Request, tier: int, ceiling: int) -> str:
        homes = [n for n, one in enumerate(self._settings.tiers, 1) if any(model.ref == named for model in one.models)]
        if not any(tier <= home <= ceiling for home in homes):
            return f"model: {named} is of tier {homes[0]}; allowed are {tier} to {ceiling}"
        return f"model: the provider of {named} may not see {request.context.data_class.value} data"


def moved_up(reason: str) -> bool:
    """Whether a reason of a decision says that a lower tier has no model for the request."""
    return _MOVED_UP.fullmatch(reason) is not None


def _key(model: ModelSettings) -> tuple[str, tuple[Capability, ...] | None]:
    return model.ref, model.takes


def _words(capabilities: list[Capability]) -> str:
    return " and ".join(capability.replace("_", " ") for capability in capabilities)
