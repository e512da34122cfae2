"""Settings: shipped defaults, then `tierstream.toml`, then the environment; loaded once and frozen."""

import os
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariableError

from streams.config.model_catalogue import ModelTable
from streams.config.settings_answers import EscalationSettings, FeedbackSettings, ValidationSettings
from streams.config.settings_batches import BatchSettings
from streams.config.settings_budgets import AlertSettings, BudgetSettings, budget_problems
from streams.config.settings_bulk import BulkSettings
from streams.config.settings_candidates import CanarySettings, ShadowSettings, candidate_models, candidate_problems
from streams.config.settings_dashboard import DashboardSettings
from streams.config.settings_learning import LearningSettings
from streams.config.settings_operations import OperationsSettings
from streams.config.settings_problems import (
    NESTED,
    STANDARD_VARIABLES,
    VARIABLE_PREFIX,
    Contradictions,
    problems,
    unknown_variables,
    unreadable_variable,
)
from streams.config.settings_sections import (
    AttemptSettings,
    BatchingSettings,
    BreakerSettings,
    ClickHouseSettings,
    DeadlineSettings,
    DeliverySettings,
    KafkaSettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    RoutingSettings,
    TierSettings,
    named_tiers,
)
from streams.config.settings_serve import ServeSettings
from streams.config.settings_stack import StackSettings
from topics.bulk import MEMBER_BYTES
from topics.requests import DataClass

CONFIG_FILE = "tierstream.toml"
DEFAULTS_FILE = Path(__file__).with_name("defaults.toml")
PRESETS = Path(__file__).with_name("presets")
_REBALANCE_SLACK_S = 5.0
_LINES_IN_FLIGHT = 256
_LINES_THAT_WAIT = 10_000
"""Where lines wait for batches of providers: those are made of what is under way, and the more the better."""


class SettingsError(Exception):
    """The configuration can't be used; the message has a line for each problem, which says where and why."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))


class Settings(BaseSettings):
    """All settings of a deployment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=VARIABLE_PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    delivery: DeliverySettings = DeliverySettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    providers: dict[str, ProviderSettings]
    tiers: Annotated[tuple[TierSettings, ...], Field(min_length=2)]
    prices: dict[str, PriceSettings] = {}
    retired: dict[str, str] = {}
    """`provider/model` that no longer answers, and its successor; more of them are in the shipped table of models."""
    allow_unpinned: bool = False
    """Whether ids are taken that mean whatever version the vendor has them mean, such as `…-latest`."""
    routing: RoutingSettings = RoutingSettings()
    validation: ValidationSettings = ValidationSettings()
    escalation: EscalationSettings = EscalationSettings()
    learning: LearningSettings = LearningSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    breakers: BreakerSettings = BreakerSettings()
    attempts: AttemptSettings = AttemptSettings()
    shadow: tuple[ShadowSettings, ...] = ()
    canary: tuple[CanarySettings, ...] = ()
    feedback: FeedbackSettings = FeedbackSettings()
    budgets: tuple[BudgetSettings, ...] = ()
    alerts: AlertSettings = AlertSettings()
    stack: StackSettings = StackSettings()
    operations: OperationsSettings = OperationsSettings()
    dashboard: DashboardSettings = DashboardSettings()
    serve: ServeSettings = ServeSettings()
    batches: BatchSettings = BatchSettings()
    bulk: BulkSettings = BulkSettings()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if found := [
            *self._about_models(),
            *self._about_tiers(),
            *self._about_spans(),
            *self._about_bulk(),
            *self._about_candidates(),
            *budget_problems(self.budgets, len(self.tiers)),
        ]:
            raise Contradictions(found)
        return self

    def _about_models(self) -> Iterator[tuple[str, str]]:
        table = ModelTable(self.providers)
        for place, model in self.models():
            key = place.partition("[")[0]
            if model.provider not in self.providers:
                yield key, f"{place}: provider {model.provider!r} is not in [providers]"
            elif not self.allow_unpinned and (why := table.unpinned(model)):
                yield key, f"{place}: {model.ref} is not pinned: {why}, or set allow_unpinned = true"
        if self.frontier_ref not in {model.ref for _, model in self.models()}:
            yield "routing.frontier", f"routing.frontier {self.frontier_ref!r} is not a model of any tier"

    def _about_tiers(self) -> Iterator[tuple[str, str]]:
        top = len(self.tiers)
        for place, number in named_tiers(self.routing):
            if isinstance(number, int) and number > top:
                key = place if place.startswith("routing.") else "routing.rules"
                yield key, f"{place}: tier {number} does not exist, there are {top}"
        for name, count in Counter(tier.name for tier in self.tiers).items():
            if count > 1:
                yield "tiers", f"tiers: {count} of them are called {name!r}"

    def _about_bulk(self) -> Iterator[tuple[str, str]]:
        waiting = [tier for tier in self.tiers if tier.batching.provider]
        for tier in waiting:
            if not any(self.has_batches(model) for model in tier.models):
                yield "tiers", f"tiers[{tier.name}].batching.provider: none of its models is at a provider with batches"
        if self.bulk.reserve_s >= self.bulk.least_s:
            yield "bulk.reserve_s", f"bulk.reserve_s must be below bulk.least_s, {self.bulk.least_s:g}"
        needed = self.bulk.max_size * MEMBER_BYTES
        if waiting and needed > self.kafka.record_max_bytes:
            yield "bulk.max_size", f"bulk.max_size {self.bulk.max_size} needs kafka.record_max_bytes of {needed}"
        if waiting and self.deadlines.bulk < self.bulk.least_s:
            yield "bulk.least_s", f"bulk.least_s {self.bulk.least_s:g} is above deadlines.bulk, {self.deadlines.bulk:g}"

    def has_batches(self, model: ModelSettings) -> bool:
        """Whether the model's provider takes batches."""
        provider = self.providers.get(model.provider)
        return provider is not None and provider.has_batches

    def _about_spans(self) -> Iterator[tuple[str, str]]:
        longest = self.deadlines.longest.total_seconds()
        span = self.delivery.dedup_window_s
        if longest > span:
            key = "delivery.dedup_window_s"
            yield key, f"{key} {span:g} is below the longest deadline, {longest:g}"
        if self.kafka.request_max_bytes > self.kafka.record_max_bytes // 2:
            key = "kafka.record_max_bytes"
            yield key, f"{key} must be at least twice kafka.request_max_bytes"
        if self.kafka.commit_interval_s >= self.kafka.session_timeout_s:
            key = "kafka.commit_interval_s"
            yield key, f"{key} must be below kafka.session_timeout_s, {self.kafka.session_timeout_s:g}"

    def _about_candidates(self) -> Iterator[tuple[str, str]]:
        return candidate_problems(self.shadow, self.canary, self.tiers, self.validation)

    def models(self) -> list[tuple[str, ModelSettings]]:
        """List every model that may be called, with its place in the config."""
        found = [(f"tiers[{tier.name}]", model) for tier in self.tiers for model in tier.models]
        others = [("routing.llm.model", self.routing.llm.model if self.routing.asks_llm else None)]
        if self.validation.judges:
            others += [(f"validation.judges[{n}]", model) for n, model in enumerate(self.validation.judges)]
        else:
            others += [
                ("validation.judge", self.validation.judge),
                ("validation.fallback", self.validation.fallback),
            ]
        found.extend((place, model) for place, model in others if model is not None)
        found.extend(candidate_models(self.shadow, self.canary))
        return found

    def family_of(self, provider: str, model: str) -> str:
        """Say whose model it is, of the settings or not; `ModelTable.family` has the rule."""
        known = self._families.get(f"{provider}/{model}")
        return known or ModelTable(self.providers).family(ModelSettings(provider=provider, model=model))

    @cached_property
    def _families(self) -> dict[str, str]:
        table = ModelTable(self.providers)
        families: dict[str, str] = {}
        for _, model in self.models():
            if model.family is not None or model.ref not in families:
                families[model.ref] = table.family(model)
        return families

    def batching(self, stage: str) -> BatchingSettings:
        """Say when the calls of a stage leave, by its name, such as `infer:2`."""
        name, _, tier = stage.partition(":")
        if tier:
            return self.tiers[int(tier) - 1].batching
        return self.validation.batching if name == "validate" else BatchingSettings()

    @property
    def waits_for_batches(self) -> bool:
        """Whether any tier has bulk requests wait for a batch of their provider."""
        return any(tier.batching.provider for tier in self.tiers)

    @property
    def lines_in_flight(self) -> int:
        """How many lines of the door's batches are under way at a time, in a process."""
        if self.batches.in_flight is not None:
            return self.batches.in_flight
        return _LINES_THAT_WAIT if self.waits_for_batches else _LINES_IN_FLIGHT

    def gated_models(self) -> list[tuple[str, ModelSettings]]:
        """List every model that may be called with the breaker that its calls pass; the same one may do so often.

        That is `provider/model`, but for the candidates of shadows, which have one of their own.
        """
        own = {f"shadow[{shadow.name}]": shadow.target for shadow in self.shadow}
        return [(own.get(place, model.ref), model) for place, model in self.models()]

    @property
    def rebalance_timeout_s(self) -> float:
        """How long a rebalance waits, in seconds: for the calls on the wire rather than have them paid twice."""
        return max(model.timeout_s for _, model in self.models()) + _REBALANCE_SLACK_S

    @property
    def classifier_model(self) -> ModelSettings:
        """The language model that is asked about requests, where `routing.classifier` has one asked."""
        return self.routing.llm.model or self.tiers[0].models[0]

    def may_serve(self, data_class: DataClass) -> bool:
        """Whether any tier has a provider that may see data of this class."""
        return any(self.may_see(model, data_class) for tier in self.tiers for model in tier.models)

    def may_see(self, model: ModelSettings, data_class: DataClass) -> bool:
        """Whether the model's provider may see data of this class, in whatever role it is called."""
        return data_class in self.providers[model.provider].data_classes

    @cached_property
    def frontier_ref(self) -> str:
        """`provider/model` of the frontier model that costs are compared with."""
        return self.routing.frontier or self.tiers[-1].models[0].ref

    @property
    def top_tier(self) -> int:
        """The number of the most capable tier."""
        return len(self.tiers)

    def group(self, stage: str) -> str:
        """Name the consumer group of a stage."""
        return f"{self.kafka.prefix}{stage.replace(':', '-')}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: environment, what `load` read from files, the preset that these name, the defaults."""
        defaults = _read_toml(DEFAULTS_FILE)
        ranked = (env_settings(), init_settings(), defaults)
        preset = InitSettingsSource(settings_cls, _preset(next(filter(None, map(_preset_name, ranked)), None)))
        return env_settings, init_settings, preset, InitSettingsSource(settings_cls, defaults)


def load(config: Path | None = None, *, overrides: dict[str, Any] | None = None) -> Settings:
    """Load the settings.

    Args:
        config: The TOML file; None: `tierstream.toml` in the working directory, if there is one.
        overrides: Values, nested as in the file, that win over the file but not over the environment.

    Raises:
        SettingsError: A line for each problem, which names the file or the variable and the key.
    """
    path = config or Path(os.environ.get("TIERSTREAM_CONFIG", CONFIG_FILE))
    named = config is not None or "TIERSTREAM_CONFIG" in os.environ
    if named and not path.is_file():
        raise SettingsError(f"{path}: no such config file")
    values = _read_toml(path) if path.is_file() else {}
    values = _merge(_merge(values, _standard_environment()), overrides or {})
    found = unknown_variables(Settings, os.environ)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        where = str(path) if path.is_file() else "settings"
        raise SettingsError(*found, *problems(error, Settings, os.environ, where)) from None
    except UnreadableVariableError as error:
        raise SettingsError(*found, unreadable_variable(error, os.environ)) from None
    if found:
        raise SettingsError(*found)
    return settings


def load_over(config: Path | None, policy: Path) -> Settings:
    """Load the settings as they would be with another file merged over theirs.

    Args:
        config: As `load` has it.
        policy: The file; the environment wins over it too.

    Raises:
        SettingsError: A line for each problem, which names the file or the variable and the key.
    """
    if not policy.is_file():
        raise SettingsError(f"{policy}: no such policy file")
    try:
        return load(config, overrides=_read_toml(policy))
    except SettingsError as error:
        told = str(error).splitlines()
        raise SettingsError(
            *(line if line.startswith(str(policy)) else f"with {policy}: {line}" for line in told)
        ) from None


def _preset_name(values: dict[str, Any]) -> Any:  # noqa: ANN401 - not validated yet
    routing = values.get("routing")
    return routing.get("preset") if isinstance(routing, dict) else getattr(routing, "preset", None)


def _preset(name: Any) -> dict[str, Any]:  # noqa: ANN401
    """Read what a preset sets; nothing for a name that there is none of, which validation reports."""
    known = {path.stem: path for path in PRESETS.glob("*.toml")}
    return _read_toml(known[name]) if isinstance(name, str) and name in known else {}


def _standard_environment() -> dict[str, Any]:
    """Read the variables that other programs use too."""
    values: dict[str, Any] = {}
    for variable, (section, name) in STANDARD_VARIABLES.items():
        if value := os.environ.get(variable):
            values[section] = {name: value}
    return values


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
