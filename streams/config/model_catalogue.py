"""What is known about models, as data: windows, what they take, parameters, names that move, and retirements."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from streams.config.setting_types import Capability
from streams.config.settings_sections import ModelSettings, ProviderSettings
from streams.config.tokens import Tokenizer

MODELS_FILE = Path(__file__).with_name("models.toml")

_SAMPLING = ("temperature", "top_p", "top_k")
_MOVING_SUFFIXES = ("-latest", ":latest")

Tokens = Annotated[int, Field(gt=0)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownModel(_Row):
    """What the table says of a model; `models.toml` describes the fields. None: not known."""

    context_window: Tokens | None = None
    max_input: Tokens | None = None
    max_output: Tokens | None = None
    tokenizer: Tokenizer = Tokenizer.OTHER
    sampling: bool = True
    takes: tuple[Capability, ...] = (Capability.TOOLS,)
    reasoning: dict[str, tuple[str, ...]] = {}


class Retirement(_Row):
    """When a model stopped answering, or will; `on` is None where only that it did is known."""

    on: date | None = None
    successor: str | None = None


class _Entry(KnownModel):
    ids: Annotated[tuple[str, ...], Field(min_length=1)]


class _File(_Row):
    families: dict[str, tuple[str, ...]]
    models: tuple[_Entry, ...]
    aliases: dict[str, str]
    retired: dict[str, Retirement]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a model of the settings that somebody ought to know."""

    place: str
    model: str
    """`provider/model` as in the settings."""
    code: str
    """retired, retiring, unknown, parameter."""
    message: str
    successor: str | None = None

    @property
    def answers(self) -> bool:
        """Whether calls still get through."""
        return self.code != "retired"


class ModelTable:
    """The shipped table, with what the settings add to it.

    Args:
        providers: The settings' providers, whose names and protocols lead to the vendors of the table.
        retired: Retired `provider/model` and its successor, from the settings.
    """

    def __init__(self, providers: Mapping[str, ProviderSettings], retired: Mapping[str, str] | None = None) -> None:
        self._providers = providers
        self._retired = {ref: Retirement(successor=successor) for ref, successor in (retired or {}).items()}

    def known(self, model: ModelSettings) -> KnownModel | None:
        """Return what is known of a model; None where the table does not have it."""
        rows = _rows()
        return next((rows[name] for name in self._names(model) if name in rows), None)

    def takes(self, model: ModelSettings) -> frozenset[Capability]:
        """Say what a model takes besides text: what its settings say, else the table; of an unknown one tools alone."""
        if model.takes is not None:
            return frozenset(model.takes)
        return frozenset((self.known(model) or KnownModel()).takes)

    def unpinned(self, model: ModelSettings) -> str | None:
        """Say why a model's id may mean another model tomorrow; None where it is a version of its own."""
        if model.model.endswith(_MOVING_SUFFIXES):
            return "it names whatever is the latest"
        stands_for = next((_file().aliases[n] for n in self._names(model) if n in _file().aliases), None)
        return None if stands_for is None else f"it is another name of {stands_for}: name that"

    def family(self, model: ModelSettings) -> str:
        """Say whose model it is, in small letters: models of one family think alike, and judge each other kindly.

        Of an unknown name it is the vendor that its id names before a slash, else the provider.
        """
        if model.family is not None:
            return model.family.casefold()
        vendor, slash, _ = model.model.partition("/")
        name = model.model.rpartition("/")[2].casefold()
        begins = [(len(start), family) for start, family in _beginnings() if name.startswith(start)]
        if begins:
            return max(begins)[1]
        provider = self._providers.get(model.provider)
        named = (provider.price_list if provider is not None else None) or model.provider
        return (vendor if slash else named).casefold()

    def findings(self, models: Iterable[tuple[str, ModelSettings]], today: date) -> list[Finding]:
        """List what is wrong with the models of the settings, each given with its place there."""
        return [finding for place, model in models for finding in self._of_one(place, model, today)]

    def _of_one(self, place: str, model: ModelSettings, today: date) -> Iterator[Finding]:
        retirement = self._retirement(model)
        known = self.known(model)
        if retirement is not None:
            yield _retired(place, model, retirement, today)
        elif known is None:
            told = "" if model.context_window else "; set context_window, or its length is not checked before a call"
            yield Finding(place, model.ref, "unknown", f"{model.ref} is not in the table of models{told}")
        if known is not None:
            for problem in _parameter_problems(model.extra, known):
                yield Finding(place, model.ref, "parameter", f"{model.ref}: {problem}")

    def _retirement(self, model: ModelSettings) -> Retirement | None:
        own = self._retired.get(model.ref)
        return own or next((_file().retired[n] for n in self._names(model) if n in _file().retired), None)

    def _names(self, model: ModelSettings) -> Iterator[str]:
        provider = self._providers[model.provider]
        for vendor in (provider.price_list or model.provider, provider.protocol):
            yield f"{vendor}/{model.model}"


def _retired(place: str, model: ModelSettings, retirement: Retirement, today: date) -> Finding:
    use = f": use {retirement.successor}" if retirement.successor else ""
    if retirement.on is not None and retirement.on > today:
        message = f"{model.ref} stops answering on {retirement.on}{use}"
        return Finding(place, model.ref, "retiring", message, retirement.successor)
    since = f" since {retirement.on}" if retirement.on else ""
    message = f"{model.ref} is retired and no longer answers{since}{use}"
    return Finding(place, model.ref, "retired", message, retirement.successor)


def _parameter_problems(extra: Mapping[str, Any], known: KnownModel) -> Iterator[str]:
    """Name the parameters in a model's `extra` that it refuses, as far as the table knows."""
    for name, value in _flat(extra):
        if name in _SAMPLING and not known.sampling:
            yield f"extra.{name}: it takes no sampling parameters"
        elif name in known.reasoning:
            allowed = known.reasoning[name]
            if allowed and value not in allowed:
                yield f"extra.{name} = {value!r}: it takes {', '.join(allowed)}"
        elif name in _reasoning_names():
            takes = f"it takes {', '.join(known.reasoning)}" if known.reasoning else "it takes none to steer reasoning"
            yield f"extra.{name}: not a parameter of this model, {takes}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@cache
def _file() -> _File:
    return _File.model_validate(tomllib.loads(MODELS_FILE.read_text(encoding="utf-8")))


@cache
def _beginnings() -> tuple[tuple[str, str], ...]:
    return tuple((start, family) for family, starts in _file().families.items() for start in starts)


@cache
def _rows() -> dict[str, KnownModel]:
    return {name: entry for entry in _file().models for name in entry.ids}


@cache
def _reasoning_names() -> frozenset[str]:
    return frozenset(name for entry in _file().models for name in entry.reasoning)
