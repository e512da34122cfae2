"""Settings: shipped defaults, then `tierstream.toml`, then the environment; loaded once and frozen."""

import os
import tomllib
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from topics.requests import DataClass, Impact, ServiceClass, Tolerance

CONFIG_FILE = "tierstream.toml"
DEFAULTS_FILE = Path(__file__).with_name("defaults.toml")

Share = Annotated[float, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(Exception):
    """The configuration can't be used; the message is one line that says where and why."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """Where Kafka is and how the topics are laid out."""

    bootstrap_servers: str | None = None
    """None: the embedded broker."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=100)] = "llm."
    partitions: Annotated[int, Field(ge=1, le=1000)] = 6
    replication_factor: Annotated[int, Field(ge=1)] = 1
    request_max_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    record_max_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    session_timeout_s: Annotated[float, Field(ge=1)] = 10.0
    commit_interval_s: Annotated[float, Field(gt=0)] = 0.5
    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = None
    """Static membership: a process that comes back under the same name within the session timeout keeps its
    partitions without a rebalance. Must differ between the processes of a deployment."""


class DeliverySettings(_Section):
    """Limits of the windows, and how far back duplicates are recognised."""

    dedup_window_s: Annotated[float, Field(gt=0)] = 3600.0
    window_span: Annotated[int, Field(ge=1)] = 4096
    """Most records between the oldest unfinished one and the newest read, in a partition."""
    window_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    drain_timeout_s: Annotated[float, Field(ge=0)] = 20.0
    answer_cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024


class ClickHouseSettings(_Section):
    """Where the ledger is and what it keeps."""

    url: str | None = None
    """None: the embedded engine."""
    database: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "tierstream"
    log_bodies: Literal["none", "hash", "full"] = "none"
    retention_days: Annotated[int, Field(ge=1)] = 400
    body_retention_days: Annotated[int, Field(ge=1)] = 30
    flush_interval_s: Annotated[float, Field(gt=0)] = 0.5
    batch_rows: Annotated[int, Field(ge=1)] = 5000


class ProviderSettings(_Section):
    """A provider's protocol, where its key is, and which data it may see."""

    protocol: Literal["groq", "openai", "anthropic", "openai_compatible"]
    base_url: str | None = None
    api_key_env: str
    data_classes: tuple[DataClass, ...] = (DataClass.PUBLIC, DataClass.INTERNAL)
    max_concurrency: Annotated[int, Field(ge=1)] = 64
    price_list: str | None = None
    """Provider id in the price list where it differs from the name here."""


class ModelSettings(_Section):
    """One model of a tier's chain."""

    provider: str
    model: str
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    max_tokens: Annotated[int, Field(gt=0)] = 1024
    """Sent where the request names none."""
    extra: dict[str, Any] = {}
    """Parameters of this model alone, such as `reasoning_effort`; sent as they are."""

    @property
    def ref(self) -> str:
        """The name by which prices and references know it."""
        return f"{self.provider}/{self.model}"


class TierSettings(_Section):
    """A tier: its name and its chain, tried in order."""

    name: str
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)]
    in_flight: Annotated[int, Field(ge=1)] = 64
    """Most tasks in work in a process. More than the providers' `max_concurrency` only wait there, with their call
    already on the books."""


class PriceSettings(_Section):
    """Prices that win over the price list, in US dollars a million tokens."""

    input: Annotated[Decimal, Field(ge=0, decimal_places=6)]
    output: Annotated[Decimal, Field(ge=0, decimal_places=6)]
    cached: Annotated[Decimal, Field(ge=0, decimal_places=6)] | None = None


class RuleCondition(_Section):
    """When a rule applies: every field that is given must match; lists match any of theirs."""

    query_type: tuple[str, ...] | None = None
    user_role: tuple[str, ...] | None = None
    feature: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    error_tolerance: tuple[Tolerance, ...] | None = None
    business_impact: tuple[Impact, ...] | None = None
    data_class: tuple[DataClass, ...] | None = None
    service_class: tuple[ServiceClass, ...] | None = None
    self_validating: bool | None = None
    has_schema: bool | None = None
    mentions: tuple[str, ...] | None = None
    """Any of these words in the last user message, whatever their case."""
    min_messages: int | None = None
    min_characters: int | None = None


class RuleSettings(_Section):
    """A routing rule: a condition, and what it does to the tier."""

    name: str
    when: RuleCondition
    tier: Annotated[int, Field(ge=1)] | Literal["top"] | None = None
    floor: Annotated[int, Field(ge=1)] | Literal["top"] | None = None
    ceiling: Annotated[int, Field(ge=1)] | Literal["top"] | None = None
    validate_answer: bool | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.tier is self.floor is self.ceiling is self.validate_answer is None:
            raise ValueError("a rule needs tier, floor, ceiling or validate_answer")
        return self


class RoutingSettings(_Section):
    """How a tier is chosen."""

    boundary: tuple[Share, Share] = (0.45, 0.55)
    rules: tuple[RuleSettings, ...] = ()
    frontier: str | None = None
    """`provider/model` that costs are compared with; None: the first model of the top tier."""


class ValidationSettings(_Section):
    """The judge: which model, and how often it looks at answers that no rule sends to it."""

    judge: ModelSettings | None = None
    fallback: ModelSettings | None = None
    sample_rate: Share = 0.0
    in_flight: Annotated[int, Field(ge=1)] = 64


class DeadlineSettings(_Section):
    """Seconds until a request expires, by service class, where it names no deadline."""

    interactive: Annotated[float, Field(gt=0)] = 30.0
    standard: Annotated[float, Field(gt=0)] = 120.0
    bulk: Annotated[float, Field(gt=0)] = 1800.0


class StackSettings(_Section):
    """The embedded stack: its folder, ports (0: any free one) and processes."""

    data_dir: Path = Path(".tierstream")
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    clickhouse_port: Port = 8123
    simulator_port: Port = 8089
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    kafka_heap_mb: Annotated[int, Field(ge=256)] = 512
    simulator_config: Path | None = None
    simulator_scripts: tuple[Path, ...] = ()
    simulator_time_scale: Annotated[float, Field(ge=0)] = 1.0


class Settings(BaseSettings):
    """All settings of a deployment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="TIERSTREAM_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    delivery: DeliverySettings = DeliverySettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    providers: dict[str, ProviderSettings]
    tiers: Annotated[tuple[TierSettings, ...], Field(min_length=2)]
    prices: dict[str, PriceSettings] = {}
    retired: dict[str, str] = {}
    """Model ids that no longer answer, with their successors."""
    routing: RoutingSettings = RoutingSettings()
    validation: ValidationSettings = ValidationSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    stack: StackSettings = StackSettings()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for place, model in self.models():
            if model.provider not in self.providers:
                raise ValueError(f"{place}: provider {model.provider!r} is not in [providers]")
        top = len(self.tiers)
        for rule in self.routing.rules:
            for bound in (rule.tier, rule.floor, rule.ceiling):
                if isinstance(bound, int) and bound > top:
                    raise ValueError(f"rule {rule.name!r}: tier {bound} does not exist, there are {top}")
        longest = max(self.deadlines.interactive, self.deadlines.standard, self.deadlines.bulk)
        if longest > self.delivery.dedup_window_s:
            span = self.delivery.dedup_window_s
            raise ValueError(f"delivery.dedup_window_s {span:g} is below the longest deadline, {longest:g}")
        if self.kafka.request_max_bytes > self.kafka.record_max_bytes // 2:
            raise ValueError("kafka.record_max_bytes must be at least twice kafka.request_max_bytes")
        if self.frontier_ref not in {model.ref for _, model in self.models()}:
            raise ValueError(f"routing.frontier {self.frontier_ref!r} is not a model of any tier")
        return self

    def models(self) -> list[tuple[str, ModelSettings]]:
        """List every model that may be called, with its place in the config."""
        found = [(f"tiers[{tier.name}]", model) for tier in self.tiers for model in tier.models]
        judges = (
            ("validation.judge", self.validation.judge),
            ("validation.fallback", self.validation.fallback),
        )
        found.extend((place, model) for place, model in judges if model is not None)
        return found

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
        """Rank the sources: environment, then what `load` read from files, then the shipped defaults."""
        defaults = InitSettingsSource(settings_cls, _read_toml(DEFAULTS_FILE))
        return env_settings, init_settings, defaults


def load(config: Path | None = None, *, overrides: dict[str, Any] | None = None) -> Settings:
    """Load the settings.

    Args:
        config: The TOML file; None: `tierstream.toml` in the working directory, if there is one.
        overrides: Values, nested as in the file, that win over the file but not over the environment.

    Raises:
        SettingsError: One line that names the file, the key and the problem.
    """
    path = config or Path(os.environ.get("TIERSTREAM_CONFIG", CONFIG_FILE))
    named = config is not None or "TIERSTREAM_CONFIG" in os.environ
    if named and not path.is_file():
        raise SettingsError(f"{path}: no such config file")
    values = _read_toml(path) if path.is_file() else {}
    values = _merge(_merge(values, _standard_environment()), overrides or {})
    try:
        return Settings(**values)
    except ValidationError as error:
        where = str(path) if path.is_file() else "settings"
        raise SettingsError(f"{where}: {_describe(error)}") from None
    except ValueError as error:
        raise SettingsError(f"settings from the environment: {error}") from None


def _standard_environment() -> dict[str, Any]:
    """Read the variables that other Kafka and ClickHouse programs use too."""
    values: dict[str, Any] = {}
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        values["kafka"] = {"bootstrap_servers": servers}
    if url := os.environ.get("CLICKHOUSE_URL"):
        values["clickhouse"] = {"url": url}
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


def _describe(error: ValidationError) -> str:
    first, *rest = error.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(map(str, first["loc"]))
    more = f" (and {len(rest)} more)" if rest else ""
    return f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}{more}"
