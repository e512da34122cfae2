"""What a deployment has learned from its own traffic, for all of its processes: records of `llm.control`."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Base64Bytes, Field

from topics.base import Label, Record, Tier, Timestamp
from topics.control import ModelVersion, PublishedVersion

Share = Annotated[float, Field(ge=0, le=1)]

ONLINE_POLICY_KEY: Final = "online-policy:"
MOST_STEPS: Final = 16
"""Of a promotion's history."""
MOST_CELLS: Final = 2_000
"""Of the rates of a judge: as many combinations of tier, model and query type."""


class JudgeRate(Record):
    """How often the judge looks at the answers of a model on a tier about one type of request."""

    tier: Tier
    model: Label
    """`provider/model`."""
    query_type: Label
    rate: Share
    reason: Label
    """Why, for the hops: such as `12 of 60 failed`."""


class JudgeRates(Record):
    """The latest rates of sampling; what is not listed has the rate of all others."""

    SCHEMA: ClassVar[str] = "judge-rates/1"

    others: Share
    reason: Label
    """Of the rate of all others."""
    cells: Annotated[tuple[JudgeRate, ...], Field(max_length=MOST_CELLS)] = ()
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """One for the deployment."""
        return "judge-rates"


class CanaryState(Record):
    """Whether a candidate still gets its share of a tier's requests."""

    SCHEMA: ClassVar[str] = "canary/1"

    name: Label
    """As the settings call the canary."""
    model: Label
    """`provider/model` of the candidate: another one under the same name starts anew."""
    state: Literal["running", "stopped", "passed"]
    """`stopped`: it failed more often than what it was to replace, and gets nothing any more."""
    reason: Label
    candidate_requests: Annotated[int, Field(ge=0)]
    candidate_failures: Annotated[int, Field(ge=0)]
    incumbent_requests: Annotated[int, Field(ge=0)]
    incumbent_failures: Annotated[int, Field(ge=0)]
    by: Label
    """Who or what decided: `learn`, or an operator."""
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The name: compaction keeps the latest state of each."""
        return f"canary:{self.name}"


class OnlinePolicyUpdate(Record):
    """A version of the router that keeps to a budget.

    It takes force `delay_ms` after the broker has appended it: requests that are appended from then on are decided by
    it, earlier ones by the version before, whenever and wherever they are delivered.
    """

    SCHEMA: ClassVar[str] = "online-policy/1"

    version: Annotated[int, Field(ge=1)]
    """Counts up; each has a key of its own, since requests of the whole window may be delivered again."""
    policy: Base64Bytes
    delay_ms: Annotated[int, Field(ge=0)]
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The version; who publishes takes old ones back."""
        return f"{ONLINE_POLICY_KEY}{self.version}"


PromotionState = Literal["proposed", "promoted", "rejected", "rolled_back", "refused"]


class LabelCount(Record):
    """What a source of labels brought to a training."""

    source: Label
    labels: Annotated[int, Field(ge=0)]
    left_out: Annotated[int, Field(ge=0)]
    """Beyond the bound of their user."""


class PromotionFigure(Record):
    """A figure of a candidate beside that of the model that was active, on the same requests."""

    name: Label
    candidate: float
    active: float
    low: float | None = None
    high: float | None = None
    """The interval of the difference, candidate less active; None where there is none."""


class PromotionStep(Record):
    """What was done with a model that was trained on the deployment's own traffic."""

    state: PromotionState
    """`refused`: it was not better beyond doubt, and is not published."""
    by: Label
    """Who or what: `learn`, or an operator."""
    reason: Label
    at: Timestamp


class Promotion(Record):
    """The page of such a model: what it was trained on, how it did, and what became of it."""

    SCHEMA: ClassVar[str] = "promotion/1"

    version: PublishedVersion
    classifier: Label
    """Its name in decisions."""
    before: ModelVersion
    """The version that was active when it was measured."""
    before_classifier: Label
    period_since: Timestamp
    period_until: Timestamp
    labels: tuple[LabelCount, ...]
    trained_on: Annotated[int, Field(ge=0)]
    """Requests."""
    held_back: Annotated[int, Field(ge=0)]
    """Requests that it was measured on."""
    missing: Annotated[int, Field(ge=0)]
    """Labelled requests that Kafka no longer keeps, or that can't be read."""
    moved: Annotated[int, Field(ge=0)] = 0
    """Of those that were held back: whom it sends to another tier than the active model does."""
    untested: Annotated[int, Field(ge=0)] = 0
    """Of these: where no label says how one of the two tiers does."""
    figures: tuple[PromotionFigure, ...]
    steps: Annotated[tuple[PromotionStep, ...], Field(min_length=1, max_length=MOST_STEPS)]
    """In their order; the last one holds."""

    @property
    def state(self) -> PromotionState:
        """What holds."""
        return self.steps[-1].state

    @property
    def partition_key(self) -> str:
        """The version."""
        return promotion_key(self.version)

    def after(self, step: PromotionStep) -> "Promotion":
        """Return the page with a further step; of a long history the oldest are dropped."""
        return self.model_copy(update={"steps": (*self.steps, step)[-MOST_STEPS:]})


def promotion_key(version: str) -> str:
    """Return the key of a model's page, which is also that of its tombstone."""
    return f"promotion:{version}"
