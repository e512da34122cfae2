"""What the names of models stand for in this deployment."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from streams.config.settings import Settings
from tierstream.serve.surface import DoorError, Target

AUTO: Final = "auto"
_TIER: Final = re.compile(r"tier-([1-9][0-9]?)")
_ANY: Final = "*"
_SHOWN: Final = 100


class DeploymentTargets:
    """Looks names up: `auto`, `tier-N`, `provider/model` of a tier, and what `serve.models` adds."""

    def __init__(self, settings: Settings) -> None:
        self._tiers = settings.top_tier
        self._models = list(dict.fromkeys(model.ref for tier in settings.tiers for model in tier.models))
        self._aliases = settings.serve.models

    def target(self, name: str) -> Target:
        """Look a name up.

        Raises:
            DoorError: 404, nothing here has the name.
        """
        found = self._own(name)
        if found is None:
            alias = self._aliases.get(name, self._aliases.get(_ANY))
            found = self._own(alias or "")
        if found is None:
            message = f"there is no model of this name here; ask for {AUTO}, tier-1 to tier-{self._tiers}, or a model"
            raise DoorError(404, "model_not_found", f"{message} that GET /v1/models lists", param="model")
        return replace(found, name=name)

    def names(self) -> Iterator[str]:
        """List all names that are known one by one."""
        yield AUTO
        yield from (f"tier-{number}" for number in range(1, self._tiers + 1))
        yield from self._models
        yield from (name for name in self._aliases if name != _ANY)

    def problems(self) -> Iterator[str]:
        """Say of each alias that stands for nothing which one it is."""
        for name, alias in self._aliases.items():
            if self._own(alias) is None and (alias or name != _ANY):
                yield f"serve.models: {name!r} stands for {alias[:_SHOWN]!r}, which is neither auto, a tier nor a model"

    def _own(self, name: str) -> Target | None:
        if name == AUTO:
            return Target(name)
        if (tier := _TIER.fullmatch(name)) and int(tier[1]) <= self._tiers:
            return Target(name, min_tier=int(tier[1]), max_tier=int(tier[1]))
        return Target(name, model=name) if name in self._models else None
