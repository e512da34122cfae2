"""What a deployment has learned from its own traffic, for all of its processes: records of `llm.control`."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Base64Bytes, Field

from topics.base import Label, Record, Tier, Timestamp

Share = Annotated[float, Field(ge=0, le=1)]

ONLINE_POLICY_KEY: Final = "online-policy:"
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
