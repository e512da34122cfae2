"""The sections of the settings about what becomes of answers: who judges them, and what is done about bad ones."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streams.config.section import Section
from streams.config.setting_types import Share
from streams.config.settings_sections import BatchingSettings, ModelSettings
from topics.feedback import FeedbackKind


class ValidationSettings(Section):
    """The judges: which models, how often they look where no rule says so, and what if none is there."""

    judge: ModelSettings | None = None
    fallback: ModelSettings | None = None
    judges: tuple[ModelSettings, ...] = ()
    """In the order of trying; replaces `judge` and `fallback`."""
    sample_rate: Share = 0.0
    """Share of the answers off critical paths that a judge sees, until the deployment has learned better. 0: none."""
    min_sample_rate: Share = 0.01
    """Where answers never fail, as far as the spend allows."""
    max_sample_rate: Share = 0.5
    max_spend_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """What judges may cost of all spend; critical paths count, and are looked at all the same."""
    judge_top_tier: bool = False
    """Whether a critical answer is judged too where no higher tier may be asked: one that fails is `degraded`."""
    without_judge: Literal["pass", "escalate", "park"] = "pass"
    """What becomes of a critical answer that no judge could be had for."""
    in_flight: Annotated[int, Field(ge=1)] = 64
    batching: BatchingSettings = BatchingSettings()
    """When the judges' calls leave."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.sample_rate > 0 and not self.chain:
            raise ValueError("sample_rate needs a judge")
        if self.min_sample_rate > self.max_sample_rate:
            raise ValueError(
                f"min_sample_rate {self.min_sample_rate:g} is above max_sample_rate, {self.max_sample_rate:g}"
            )
        if self.batching.shared_features:
            raise ValueError("batching.shared_features: judges' calls are not shared")
        if self.batching.provider:
            raise ValueError("batching.provider: judges' calls wait for no batch of a provider")
        return self

    @property
    def chain(self) -> tuple[ModelSettings, ...]:
        """The judges in the order of trying."""
        return self.judges or tuple(model for model in (self.judge, self.fallback) if model is not None)


class EscalationSettings(Section):
    """What the next tier is told."""

    context: Literal["none", "reason", "answer"] = "reason"
    """Behind the conversation: nothing, why the earlier answer was not good enough, or that answer as well."""


class FeedbackSettings(Section):
    """What becomes of feedback: how long results are known, and when a more capable tier is asked."""

    retries: tuple[FeedbackKind, ...] = (FeedbackKind.SCHEMA_MISMATCH,)
    """Kinds that have a request answered anew where the feedback does not say whether it is to be."""
    max_revision: Annotated[int, Field(ge=0)] = 3
    """The last revision that feedback may ask for; 0: none."""
    window_s: Annotated[float, Field(gt=0)] = 7 * 24 * 3600.0
    """How old a result may be; the topics keep records for a week, unless they were told otherwise."""
    max_entries: Annotated[int, Field(ge=1)] = 1_000_000
    """Results that a process knows, about 16 bytes each; the oldest ones are forgotten."""
    patience_s: Annotated[float, Field(ge=0)] = 2.0
    """How long feedback that is here before its result waits for it."""
    in_flight: Annotated[int, Field(ge=1)] = 256
