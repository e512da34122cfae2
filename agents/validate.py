"""answers -> outcomes or escalations. A judge model looks at answers on critical paths first, and at a sample."""

from streams.admission import UnavailableError
from streams.budgets.budgets import BudgetRefusedError
from streams.calls.paid_calls import attempt_of
from streams.config.settings import Settings
from streams.fallback.bounds import out_of_bounds
from streams.kafka.publisher import Output
from streams.providers.base import ErrorKind, Prompt, is_provider_failure
from streams.runtime.outcomes import answered
from streams.runtime.stage import Context, Outputs, stage
from streams.validation.best_answer import JUDGE_FAILED, NO_JUDGE, better
from streams.validation.judge import Verdict, judge_messages, read_verdict, verdict_schema
from streams.validation.judges import judges_of
from streams.validation.transcript import answer_text
from topics.events import Hop, Hops, StatusEvent, StatusKind
from topics.journal import CallEnded, Purpose
from topics.registry import ESCALATIONS, HOPS, PARKED, VALIDATION
from topics.requests import Params
from topics.tasks import CRITICAL_PATH, JUDGES, SAMPLES, Answer, Escalation, Parked, TierTask


def _in_flight(settings: Settings, _: int) -> int:
    return settings.validation.in_flight


@stage(source=VALIDATION, emits=(ESCALATIONS, PARKED), in_flight=_in_flight)
async def validate(answer: Answer, ctx: Context) -> Outputs:
    """Publish an answer that passes; escalate one that fails, unless the judge only looked to learn.

    Judges are asked in turn until one gives a verdict that can be read. What becomes of an answer that none could be
    had for is up to the settings.
    """
    may_be_back = False
    asked: set[str] = set()
    for judge in judges_of(ctx.engine.settings, answer.completion, answer.task.request.context.data_class):
        if judge.ref in asked:
            continue
        # What was paid before a restart counts, also where the time is up by now.
        if out_of_bounds(answer.task, ctx) is not None and await ctx.recall(answer.task) is None:
            break
        try:
            ended = await ctx.pay(answer.task, judge, _prompt(answer), Purpose.JUDGE)
        except UnavailableError:
            may_be_back = True
            continue
        except BudgetRefusedError:
            break
        asked.add(f"{ended.provider}/{ended.model}")
        verdict = read_verdict(ended.content) if ended.content is not None else None
        answer = _after(answer, ended, verdict, ctx)
        if verdict is not None:
            return [_judged(answer, verdict, ctx)]
        may_be_back |= ended.error is not None and is_provider_failure(ErrorKind(ended.error.kind))
    return _unjudged(answer, ctx, may_be_back=may_be_back)


def _prompt(answer: Answer) -> Prompt:
    given = answer.completion
    messages = judge_messages(answer.task.request, answer_text(given.content, given.tool_calls))
    return Prompt(messages, Params(temperature=0.0), verdict_schema())


def _after(answer: Answer, ended: CallEnded, verdict: Verdict | None, ctx: Context) -> Answer:
    """Return the answer with the call of a judge behind its task."""
    outcome = _name(ended, verdict)
    attempts = (*answer.task.attempts, attempt_of(ended, JUDGES if answer.why == CRITICAL_PATH else SAMPLES, outcome))
    task = answer.task.after(_hop(answer, ctx, ended, verdict, outcome)).model_copy(update={"attempts": attempts})
    return answer.model_copy(update={"task": task})


def _name(ended: CallEnded, verdict: Verdict | None) -> str:
    if ended.error is not None:
        return ended.error.kind
    return f"judge_{verdict.verdict}" if verdict is not None else "judge_unreadable"


def _hop(answer: Answer, ctx: Context, ended: CallEnded, verdict: Verdict | None, outcome: str) -> Hop:
    gave, details, family_of = answer.completion, [answer.why], ctx.engine.settings.family_of
    if family_of(ended.provider, ended.model) == family_of(gave.provider, gave.model):
        details.append("of the answerer's family")
    if verdict is not None:
        details += [f"confidence {verdict.confidence:.2f}", *([verdict.named] if verdict.named else [])]
    return ctx.hop(
        outcome,
        tier=answer.task.tier,
        attempt_id=ended.attempt_id,
        provider=ended.provider,
        model=ended.model,
        provider_ms=round(ended.provider_ms, 3),
        cost_usd=ended.cost_usd,
        scores=() if verdict is None else (1.0 if verdict.verdict == "pass" else 0.0,),
        detail="; ".join(details),
    )


def _judged(answer: Answer, verdict: Verdict, ctx: Context) -> Output:
    if verdict.verdict == "pass" or not answer.withheld:
        return _passed(answer, answer.task, ctx)
    reason = ": ".join(part for part in (JUDGE_FAILED, verdict.named) if part)
    return _escalated(answer, answer.task, reason, verdict.said)


def _unjudged(answer: Answer, ctx: Context, *, may_be_back: bool) -> Outputs:
    """Say what becomes of an answer without a verdict; one of a sample goes out as it is."""
    task = answer.task
    is_critical = answer.withheld and task.decision.validate_answer
    then = ctx.engine.settings.validation.without_judge if is_critical else "pass"
    if then == "park" and may_be_back and out_of_bounds(task, ctx) is None:
        return _parked(answer, ctx)
    unjudged = task.after(ctx.hop("unjudged", tier=task.tier, detail=answer.why))
    if then == "escalate":
        return [_escalated(answer, unjudged, NO_JUDGE)]
    return [_passed(answer, unjudged, ctx)]


def _passed(answer: Answer, task: TierTask, ctx: Context) -> Output:
    return answered(ctx.stage, task, answer.completion, task.attempts)


def _escalated(answer: Answer, task: TierTask, reason: str, said: str | None = None) -> Output:
    completion = answer.completion.model_copy(update={"said": said})
    failed = task.model_copy(update={"best": better(task.best, completion, reason)})
    return Output(ESCALATIONS, Escalation(task=failed, reason=reason, said=said))


def _parked(answer: Answer, ctx: Context) -> list[Output]:
    """Let the answer rest until a judge may be back; its steps are published now, as it may rest again and again."""
    task = answer.task
    event = StatusEvent(kind=StatusKind.PARKED, at=ctx.now(), tier=task.tier, detail=NO_JUDGE)
    steps = (*task.hops, ctx.hop("parked", tier=task.tier, detail=NO_JUDGE))
    resting = Parked(task=task.model_copy(update={"hops": ()}), reason=NO_JUDGE, completion=answer.completion)
    return [
        Output(PARKED, resting),
        ctx.status(task.request.request_id, task.revision, event),
        Output(HOPS, Hops(request_id=task.request.request_id, revision=task.revision, hops=steps)),
    ]
