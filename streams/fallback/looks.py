"""Whether a judge looks at an answer, and why: a rule says so, or it is one of a sample."""

from dataclasses import dataclass

from streams.learning.digest_share import share_of
from streams.runtime.stage import Context
from streams.validation.judges import judges_of
from topics.base import MAX_ID_LENGTH
from topics.tasks import CRITICAL_PATH, Completion, TierTask


@dataclass(frozen=True, slots=True)
class Look:
    """Why a judge looks at an answer.

    Attributes:
        why: For its hop.
        withheld: Whether an answer that fails is held back.
    """

    why: str
    withheld: bool


def look_at(task: TierTask, completion: Completion, ctx: Context) -> Look | None:
    """Say why a judge looks at an answer; None where none does.

    A sample is picked by the request's digest, the same ones after a restart as long as the rate is the same. At the
    highest tier that the request may reach, and where the text was shown as it came, a sample only tells how good the
    answers are: there is nobody to do better, or nothing to hold back.
    """
    if waits_for_verdict(task, ctx):
        return Look(CRITICAL_PATH, withheld=True)
    settings = ctx.engine.settings
    if not settings.validation.sample_rate:
        return None
    ref = f"{completion.provider}/{completion.model}"
    learned = ctx.engine.learned.judge_rate(completion.tier, ref, task.decision.query_type)
    rate, reason = learned or (settings.validation.sample_rate, "the setting")
    if not is_sampled(task.digest, completion.tier, rate):
        return None
    if not judges_of(settings, completion, task.request.context.data_class):
        return None
    withheld = task.tier < task.decision.ceiling and not task.request.stream
    return Look(f"sampled at {rate:.2g}: {reason}"[:MAX_ID_LENGTH], withheld)


def waits_for_verdict(task: TierTask, ctx: Context) -> bool:
    """Whether a rule has a judge see the answer first; at the highest tier it may reach, only where settings say so."""
    validation = ctx.engine.settings.validation
    may_go_up = task.tier < task.decision.ceiling
    return task.decision.validate_answer and bool(validation.chain) and (may_go_up or validation.judge_top_tier)


def is_sampled(digest: str, tier: int, rate: float) -> bool:
    """Pick a share of the answers of a tier by their requests' digests.

    Each tier has its own draw: else what was sampled and failed on one would be in the sample of the next one too,
    whose answers would seem worse than they are.
    """
    return share_of(digest, f"judge:{tier}") < rate
