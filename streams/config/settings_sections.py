"""The sections of the settings: what can be set, with limits and defaults."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from streams.config.protocols import PROTOCOLS
from streams.config.section import Section
from streams.config.setting_types import (
    Band,
    Capability,
    HttpUrl,
    Price,
    ProtocolName,
    Servers,
    Share,
    Signal,
    TierName,
    Variable,
)
from topics.base import from_millis
from topics.dead_letters import KEPT_BYTES
from topics.requests import DataClass, Impact, Request, ServiceClass, Tolerance


class KafkaSettings(Section):
    """Where Kafka is and how the topics are laid out."""

    bootstrap_servers: Servers | None = None
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

    @property
    def kept_bytes(self) -> int:
        """Bytes that a dead letter keeps, each of key, headers and value: in base64 they fit into a record."""
        return min(KEPT_BYTES, self.record_max_bytes // 8)


class DeliverySettings(Section):
    """Limits of the windows, and how far back duplicates are recognised."""

    dedup_window_s: Annotated[float, Field(gt=0)] = 3600.0
    window_span: Annotated[int, Field(ge=1)] = 4096
    """Most records between the oldest unfinished one and the newest read, in a partition."""
    window_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    drain_timeout_s: Annotated[float, Field(ge=0)] = 20.0
    answer_cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024


class ClickHouseSettings(Section):
    """Where the ledger is and what it keeps."""

    url: HttpUrl | None = None
    """None: the embedded engine."""
    database: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "tierstream"
    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = None
    """Of one shard, as `system.clusters` names it: the tables are on all of its servers, and replicated. None: on the
    server of the URL alone."""
    log_bodies: Literal["none", "hash", "full"] = "none"
    # ClickHouse ends a TTL that leads beyond 2106 at once: rows that were to be kept for ever would be deleted.
    retention_days: Annotated[int, Field(ge=1, le=20_000)] = 400
    body_retention_days: Annotated[int, Field(ge=1, le=20_000)] = 30
    flush_interval_s: Annotated[float, Field(gt=0)] = 1.0
    batch_rows: Annotated[int, Field(ge=1)] = 10_000
    rollup_interval_s: Annotated[float, Field(gt=0)] = 15.0
    """Seconds between builds of the sums that reports read, at least."""


class ProviderSettings(Section):
    """A provider's protocol, where its key is, and which data it may see."""

    protocol: ProtocolName
    base_url: HttpUrl | None = None
    api_key_env: Variable
    data_classes: tuple[DataClass, ...] = (DataClass.PUBLIC, DataClass.INTERNAL)
    max_concurrency: Annotated[int, Field(ge=1)] = 256
    price_list: str | None = None
    """Provider id in the price list where it differs from the name here."""
    batches: bool | None = None
    """Whether it takes batches at a lower price; None: where the vendor of its protocol does, at its own address."""
    batch_price: Annotated[Decimal, Field(gt=0, le=1, decimal_places=3)] = Decimal("0.5")
    """What a call of a batch costs, as a share of the usual price."""

    @property
    def has_batches(self) -> bool:
        """Whether it takes batches."""
        of_vendor = PROTOCOLS[self.protocol].has_batches and self.base_url is None
        return of_vendor if self.batches is None else self.batches

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if PROTOCOLS[self.protocol].needs_base_url and self.base_url is None:
            raise ValueError(f"the protocol {self.protocol} needs base_url")
        if self.batches and not PROTOCOLS[self.protocol].has_batches:
            raise ValueError(f"batches = true: the protocol {self.protocol} has no batches that are known here")
        return self


class ModelSettings(Section):
    """One model of a tier's chain."""

    provider: str
    model: str
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    max_tokens: Annotated[int, Field(gt=0)] = 1024
    """Sent where the request names none."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Parameters of this model alone, such as `reasoning_effort`; sent as they are."""
    requests_per_minute: Annotated[int, Field(gt=0)] | None = None
    tokens_per_minute: Annotated[int, Field(gt=0)] | None = None
    """Of this process alone; None: only what the provider says in its rate-limit headers."""
    slow_call_s: Annotated[float, Field(gt=0)] | None = None
    """From when on a call counts as slow for the circuit breaker; None: at four fifths of `timeout_s`."""
    context_window: Annotated[int, Field(gt=0)] | None = None
    """Tokens of prompt and answer together; None: what the shipped table of models says, else not checked."""
    takes: tuple[Capability, ...] | None = None
    """What it takes besides text; None: what the shipped table of models says, else tools alone."""
    family: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Whose model it is, as judges are chosen by; None: what the shipped table says, else vendor or provider."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.slow_call_s is not None and self.slow_call_s > self.timeout_s:
            raise ValueError(f"slow_call_s {self.slow_call_s:g} is above timeout_s, {self.timeout_s:g}")
        return self

    @property
    def ref(self) -> str:
        """The name by which prices and references know it."""
        return f"{self.provider}/{self.model}"


class BatchingSettings(Section):
    """When the calls of a tier leave: together, but never for the sake of being together."""

    max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """How long the oldest call of a batch waits; 0: every call leaves at once."""
    max_size: Annotated[int, Field(ge=1, le=1000)] = 16
    """A batch of so many calls leaves at once."""
    idle_below: Annotated[int, Field(ge=0)] = 16
    """With fewer calls of the tier on the wire than this, nothing waits. 0: a batch always waits to be full or old."""
    shared_features: tuple[str, ...] = ()
    """Features whose identical requests share one call whoever asks; otherwise only those of one user at
    temperature 0 do."""
    provider: bool = False
    """Whether bulk requests wait for a batch of the provider, at its lower price: `bulk` has how long."""


class TierSettings(Section):
    """A tier: its name and its chain, tried in order."""

    name: str
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)]
    in_flight: Annotated[int, Field(ge=1)] = 256
    """Most tasks in work in a process. Calls that hang until their time is up hold their place: at 30 of them a second
    and 5 s each, 150 places are gone."""
    batching: BatchingSettings = BatchingSettings()


class BreakerSettings(Section):
    """When a circuit breaker opens and how it closes again; the same for models and for whole tiers."""

    window_s: Annotated[float, Field(gt=0)] = 30.0
    min_calls: Annotated[int, Field(ge=1)] = 5
    """With fewer calls in the window the rates say nothing."""
    failure_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    slow_rate: Annotated[float, Field(gt=0, le=1)] = 0.8
    open_s: Annotated[float, Field(gt=0)] = 5.0
    """How long it stays open before it lets probes through; where the provider names a time, that one counts."""
    probes: Annotated[int, Field(ge=1)] = 3
    """Calls let through while half-open; all must succeed."""


class AttemptSettings(Section):
    """Bounds of the one retry loop, besides deadline and `max_cost_usd`."""

    max_attempts: Annotated[int, Field(ge=1)] = 100
    """Calls for one request over all tiers, probes of broken providers included."""
    patience_s: Annotated[float, Field(ge=0)] = 2.0
    """How long a call waits for its turn at a provider before the next one is tried."""
    retry_pause_s: Annotated[float, Field(ge=0, le=10)] = 0.25
    """Where no model of a tier answered, the pause before the last one that failed in a way that may pass is asked once
    more. Each pause is 0.4 to 1.6 times as long; a Retry-After of up to `patience_s` comes on top. 0: no retry."""
    parked_s: Annotated[float, Field(gt=0)] = 2.0
    """How long a request rests before its tier is tried again, once no provider is to be had."""


class TokenPrices(Section):
    """Prices in US dollars a million tokens."""

    input: Price
    output: Price
    cached: Price | None = None
    """Of input read from the provider's cache; None: as other input."""
    cache_write: Price | None = None
    """Of input written to it; None: as other input."""


class LongContextSettings(TokenPrices):
    """Prices of a call with a long input, for all of its tokens."""

    above: Annotated[int, Field(gt=0)]
    """Tokens of input from which on they apply, this number itself not included."""


class PriceSettings(TokenPrices):
    """Prices that win over the price list."""

    long_context: LongContextSettings | None = None


class RuleCondition(Section):
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
    has_tools: bool | None = None
    in_tool_loop: bool | None = None
    """Whether the model has made calls and not answered since."""
    mentions: tuple[str, ...] | None = None
    """Any of these words in the last user message, whatever their case."""
    mentions_money: bool | None = None
    """Whether an amount with a currency stands in the conversation, system messages apart."""
    mentions_personal_data: bool | None = None
    """Whether an e-mail address, phone, account or card number or the like stands there."""
    min_messages: Annotated[int, Field(ge=0)] | None = None
    """Of what was said: steps of tool loops count for this and the next as little as definitions of tools."""
    min_characters: Annotated[int, Field(ge=0)] | None = None
    classified_tier: tuple[TierName, ...] | None = None
    """The tier that the classifier's scores come to. With this and the next, a rule is applied after it."""
    confidence_below: Share | None = None
    """The probability that the classifier gives to that tier is below this."""
    signals: tuple[Signal, ...] | None = None
    """Any of these is what the last message says of the answer before it."""

    @property
    def needs_scores(self) -> bool:
        """Whether it can only be tested once the classifier has scored."""
        return self.classified_tier is not None or self.confidence_below is not None


class RuleSettings(Section):
    """A routing rule: a condition, and what it does to the tier."""

    name: str
    when: RuleCondition
    tier: TierName | None = None
    floor: TierName | None = None
    ceiling: TierName | None = None
    threshold_shift: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Added to both ends of `boundary`: above 0 the classifier must be surer before a request goes up."""
    raise_by: Annotated[int, Field(ge=1)] | None = None
    """So many tiers more than the classifier's scores come to, as far as the bounds allow."""
    validate_answer: bool | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        effects = (self.tier, self.floor, self.ceiling, self.threshold_shift, self.raise_by, self.validate_answer)
        if all(effect is None for effect in effects):
            raise ValueError("a rule needs tier, floor, ceiling, threshold_shift, raise_by or validate_answer")
        if self.threshold_shift is not None and self.when.needs_scores:
            raise ValueError("a rule that looks at the scores can't shift the threshold that they are held against")
        if isinstance(self.floor, int) and isinstance(self.ceiling, int) and self.floor > self.ceiling:
            raise ValueError(f"floor {self.floor} is above ceiling, {self.ceiling}")
        return self


class LimitSettings(Section):
    """The highest tier that a tenant may use, whatever rules and requests say; the lowest that applies counts.

    Static: it looks at who asks, never at what was spent.
    """

    tag: dict[str, TierName] = Field(default_factory=dict)
    feature: dict[str, TierName] = Field(default_factory=dict)
    user: dict[str, TierName] = Field(default_factory=dict)


class LlmClassifierSettings(Section):
    """The language model that is asked for its vote on the tier of a request, and how long that may take."""

    model: ModelSettings | None = None
    """None: the first model of the cheapest tier; `Settings.classifier_model` says which that is."""
    budget_ms: Annotated[float, Field(gt=0, le=60_000)] = 100.0
    """From the request's turn to the vote, waiting for a batch included; what comes later is not waited for."""
    batch_wait_ms: Annotated[float, Field(ge=0)] = 15.0
    """How long the first request of a batch waits for others to share its call."""
    batch_size: Annotated[int, Field(ge=1, le=64)] = 8
    """A batch of so many requests leaves at once."""
    ask: Band = (0.30, 0.70)
    """The cascade asks where the probability of needing more than the tier that the scores come to, or than the one
    below it, lies in this band. Rules shift it with the boundary."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.batch_wait_ms > self.budget_ms:
            raise ValueError(f"batch_wait_ms {self.batch_wait_ms:g} is above budget_ms, {self.budget_ms:g}")
        return self


class RoutingSettings(Section):
    """How a tier is chosen."""

    preset: Literal["two-tier", "three-tier", "max-savings", "max-quality"] | None = None
    """Shipped settings that this one starts from; what is set beside it wins."""
    classifier: Literal["learned", "llm", "cascade"] = "cascade"
    """What scores requests between the rules: the `learned` model alone; besides that a language model for every
    request that the rules leave open (`llm`), or only for those of which the learned one is unsure (`cascade`)."""
    model: Path | None = None
    """A model file of `tierstream train`, of requests or of outcomes; None: the shipped one, of requests."""
    llm: LlmClassifierSettings = LlmClassifierSettings()
    boundary: Band = (0.45, 0.55)
    rules: tuple[RuleSettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    budget_usd_per_request: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """What requests may cost on average; where the rules leave it open the tier is then chosen by what the deployment
    has learned that each tier brings and costs. None: the classifier chooses, whatever that costs."""
    cache_s: Annotated[float, Field(ge=0)] = 300.0
    """How long providers are taken to keep a prompt in their cache. For so long a conversation with tools stays with
    its model where that is cheaper than the one chosen. 0: only in an open tool loop."""
    frontier: str | None = None
    """`provider/model` that costs are compared with; None: the first model of the top tier."""

    @property
    def asks_llm(self) -> bool:
        """Whether a language model is asked about any request."""
        return self.classifier in {"llm", "cascade"}


def named_tiers(routing: RoutingSettings) -> list[tuple[str, int | str]]:
    """List every tier that rules and limits name, with its place."""
    found: list[tuple[str, int | str | None]] = []
    for rule in routing.rules:
        bounds = (rule.tier, rule.floor, rule.ceiling, *(rule.when.classified_tier or ()))
        found.extend((f"rule {rule.name!r}", bound) for bound in bounds)
    for kind in ("tag", "feature", "user"):
        limits: dict[str, int | str] = getattr(routing.limits, kind)
        found.extend((f"routing.limits.{kind}.{name}", ceiling) for name, ceiling in limits.items())
    return [(place, number) for place, number in found if number is not None]


class DeadlineSettings(Section):
    """Seconds until a request expires, by service class, where it names no deadline."""

    interactive: Annotated[float, Field(gt=0)] = 30.0
    standard: Annotated[float, Field(gt=0)] = 120.0
    bulk: Annotated[float, Field(gt=0)] = 1800.0

    @property
    def longest(self) -> timedelta:
        """The longest of them."""
        return timedelta(seconds=max(self.interactive, self.standard, self.bulk))

    def of(self, request: Request, arrived_ms: int) -> datetime:
        """Return when a request expires: the earlier of what it names, else the default of its service class.

        Args:
            request: That came in.
            arrived_ms: The broker's append time, ms since the epoch.
        """
        arrived = from_millis(arrived_ms)
        named = [request.deadline] if request.deadline else []
        if request.timeout_ms:
            named.append(arrived + timedelta(milliseconds=request.timeout_ms))
        default_s: float = getattr(self, request.service_class.value)
        return min(named, default=arrived + timedelta(seconds=default_s))
