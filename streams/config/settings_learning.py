"""The sections of the settings about what a deployment learns from its own traffic."""

from typing import Annotated, Literal

from pydantic import Field

from streams.config.section import Section
from streams.config.setting_types import Share


class LabelSourceSettings(Section):
    """What a source of labels counts, and how much of it one user may bring."""

    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0: it is not learned from."""
    per_user_day: Annotated[int, Field(ge=1)] = 500
    """Most labels about the requests of one user in a day; all requests without a `user_id` are one user's."""


class LearningSettings(Section):
    """What is concluded from outcomes as they come, when the classifier is trained on them, and what becomes of it."""

    publish_s: Annotated[float, Field(gt=0)] = 5.0
    """How often the stage that learns publishes what follows from the outcomes so far."""
    delay_s: Annotated[float, Field(ge=0)] = 2.0
    """How long after that a policy under a budget takes force: until then all workers know it."""
    replay_s: Annotated[float, Field(ge=0)] = 3600.0
    """How far back it begins when it starts, or takes over from another process."""
    exploration: Annotated[Share, Field(le=0.5)] = 0.05
    """With a budget: share of the requests that may go to another tier than the best one, to learn what it is like."""

    promote: Literal["auto", "approve", "off"] = "approve"
    """What happens to a model that is better than the active one beyond doubt: it takes force, or waits for
    `tierstream models approve`. `off`: it is trained and measured, and not even published."""
    interval_s: Annotated[float, Field(gt=0)] = 86_400.0
    """From one training of `tierstream learn watch` to the next."""
    check_s: Annotated[float, Field(gt=0)] = 300.0
    """How often it looks whether a promoted model has turned out worse."""
    period_s: Annotated[float, Field(gt=0)] = 7 * 86_400.0
    """Whose labels are learned from: those of so long ago until now."""
    max_labels: Annotated[int, Field(ge=100)] = 10_000
    """Most labels of a training, the latest ones."""
    held_share: Annotated[Share, Field(gt=0, lt=1)] = 0.2
    """Share of the questions, chosen by their digest, that is never trained on and that a model is measured on."""
    min_held: Annotated[int, Field(ge=10)] = 100
    """With fewer held-back requests no model is promoted."""
    wrong_answer_usd: Annotated[float, Field(ge=0)] = 0.01
    """What an answer costs that was not good enough, besides the call."""
    answer_tokens: Annotated[int, Field(ge=1)] = 300
    """Of an answer, where the prices of tiers are compared."""
    worse_by: Annotated[Share, Field(lt=1)] = 0.02
    """How much more often answers may fail after a promotion than before, as a difference of shares; it is rolled back
    where they fail more often than that beyond doubt."""
    judge: LabelSourceSettings = LabelSourceSettings()
    check: LabelSourceSettings = LabelSourceSettings()
    feedback: LabelSourceSettings = LabelSourceSettings(weight=0.5, per_user_day=20)
    shadow: LabelSourceSettings = LabelSourceSettings(weight=0.5)

    @property
    def sources(self) -> dict[str, LabelSourceSettings]:
        """The sources by the names that labels have for them."""
        return {name: getattr(self, name) for name in ("judge", "check", "feedback", "shadow")}
