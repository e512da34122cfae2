"""answers -> outcomes or escalations. A judge model looks at answers on critical paths before anyone sees them."""

from streams.admission import UnavailableError
from streams.calls.paid_calls import attempt_of
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.kafka.publisher import Output
from streams.providers.base import Prompt
from streams.runtime.outcomes import answered
from streams.runtime.stage import Context, Outputs, stage
from streams.validation.judge import Verdict, judge_messages, read_verdict, verdict_schema
from topics.events import Hop
from topics.journal import CallEnded, Purpose
from topics.registry import ESCALATIONS, VALIDATION
from topics.requests import Params
from topics.tasks import Answer, Escalation, TierTask


def _in_flight(settings: Settings, _: int) -> int:
    return settings.validation.in_flight


@stage(source=VALIDATION, emits=(ESCALATIONS,), in_flight=_in_flight)
async def validate(answer: Answer, ctx: Context) -> Outputs:
    """Publish an answer that passes; escalate one that fails.

    When no judge can be had in time the answer is published as it is: a missing verdict is no reason to withhold it.
    """
    task = answer.task
    for model in _judges(task, ctx):
        is_over = ctx.now() >= task.deadline or task.is_spent
        # What was paid before a restart counts, also where the time is up by now.
        if is_over and await ctx.recall(task) is None:
            break
        try:
            ended = await ctx.pay(task, model, _prompt(answer), Purpose.JUDGE)
        except UnavailableError:
            continue
        verdict = read_verdict(ended.content) if ended.content is not None else None
        outcome = _name(ended, verdict)
        attempts = (*task.attempts, attempt_of(ended, "judge", outcome))
        task = task.after(_hop(task, ctx, ended, verdict, outcome)).model_copy(update={"attempts": attempts})
        if verdict is None:
            continue
        if verdict.verdict == "pass":
            return [answered(ctx.stage, task, answer.completion, task.attempts)]
        failed = task.model_copy(update={"best": answer.completion})
        return [Output(ESCALATIONS, Escalation(task=failed, reason="judge: fail"))]
    unjudged = task.after(ctx.hop("unjudged", tier=task.tier))
    return [answered(ctx.stage, unjudged, answer.completion, unjudged.attempts)]


def _judges(task: TierTask, ctx: Context) -> list[ModelSettings]:
    """List the judges that may see the request; what binds the tiers binds them too."""
    settings = ctx.engine.settings
    judges = (settings.validation.judge, settings.validation.fallback)
    data_class = task.request.context.data_class
    return [judge for judge in judges if judge and settings.may_see(judge, data_class)]


def _prompt(answer: Answer) -> Prompt:
    messages = judge_messages(answer.task.request, answer.completion.content)
    return Prompt(messages, Params(temperature=0.0), verdict_schema())


def _name(ended: CallEnded, verdict: Verdict | None) -> str:
    if ended.error is not None:
        return ended.error.kind
    return f"judge_{verdict.verdict}" if verdict is not None else "judge_unreadable"


def _hop(task: TierTask, ctx: Context, ended: CallEnded, verdict: Verdict | None, outcome: str) -> Hop:
    return ctx.hop(
        outcome,
        tier=task.tier,
        attempt_id=ended.attempt_id,
        provider=ended.provider,
        model=ended.model,
        provider_ms=round(ended.provider_ms, 3),
        cost_usd=ended.cost_usd,
        detail=f"confidence {verdict.confidence:.2f}" if verdict is not None else None,
    )
