"""Making the outcome of a request: answered, degraded, rejected, failed or expired."""

from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from streams.kafka.publisher import Output
from streams.routing.prompt_prefix import prompt_prefix
from topics.base import Record
from topics.messages import Spoken, spoken
from topics.registry import OUTCOMES
from topics.requests import Request, dimensions_of
from topics.results import Outcome, ResultError, ResultStatus
from topics.tasks import Attempt, Completion, Source, TierTask, task_of


def answered(
    stage: str, task: TierTask, completion: Completion, attempts: tuple[Attempt, ...], *, degraded: str | None = None
) -> Output:
    """End with an answer; `degraded` says what is wrong with it, where nothing better is to be had."""
    return _end(
        stage,
        task,
        attempts,
        status=ResultStatus.OK if degraded is None else ResultStatus.DEGRADED,
        reason=degraded,
        said=None if degraded is None else completion.said,
        **spoken(completion),
        attempt_id=completion.attempt_id,
        content=completion.content,
        tier=completion.tier,
        provider=completion.provider,
        model=completion.model,
        finish_reason=completion.finish_reason,
        usage=completion.usage,
    )


def given_up(
    stage: str, task: TierTask, attempts: tuple[Attempt, ...], status: ResultStatus, code: str, message: str
) -> Output:
    """End without a new answer: with the best one so far as degraded where there is one, else as `status` says."""
    if task.best is not None:
        reasons = dict.fromkeys(reason for reason in (task.best.failed, message) if reason)
        return answered(stage, task, task.best, attempts, degraded="; ".join(reasons))
    return _end(stage, task, attempts, status=status, error=ResultError(code=code, message=message))


def unserved(
    stage: str,
    request_id: str,
    source: Source,
    *,
    revision: int,
    digest: str,
    status: ResultStatus,
    code: str,
    message: str,
) -> Output:
    """End a request of which only the id is known, or that can't be served as it is."""
    return Output(
        OUTCOMES,
        Outcome(
            request_id=request_id,
            revision=revision,
            status=status,
            error=ResultError(code=code, message=message),
            cost_usd=Decimal(0),
            source=source,
            digest=digest,
            stage=stage,
        ),
    )


def crashed(stage: str, record: Record, source: Source, revision: int, message: str) -> Output | None:
    """End the request behind a record whose handler raised; None where the record belongs to no open request."""
    match record:
        case Request():
            error = ResultError(code="internal", message=message)
            return Output(
                OUTCOMES,
                Outcome(
                    **dimensions_of(record),
                    request_id=record.request_id,
                    revision=revision,
                    status=ResultStatus.FAILED,
                    error=error,
                    cost_usd=Decimal(0),
                    source=source,
                    digest=record.digest(),
                    stage=stage,
                ),
            )
        case _:
            task = task_of(record)
            return None if task is None else _task_crashed(stage, task, message)


def without_answer(outcome: Outcome, status: ResultStatus, error: ResultError) -> Outcome:
    """Return an ending that is small whatever the request and its answer are, and keeps what was paid."""
    of_answer = ("attempt_id", "content", "reason", "said", "tier", "provider", "model", "finish_reason", "usage")
    bare = {**dict.fromkeys(of_answer), **spoken(Spoken()), "tags": ()}
    return outcome.model_copy(update={**bare, "status": status, "error": error})


def _task_crashed(stage: str, task: TierTask, message: str) -> Output:
    try:
        return given_up(stage, task, task.attempts, ResultStatus.FAILED, "internal", message)
    except ValidationError:
        # An ending that repeats what the task says may fail on what made the handler fail.
        return unserved(
            stage,
            task.request.request_id,
            task.source,
            revision=task.revision,
            digest=task.digest,
            status=ResultStatus.FAILED,
            code="internal",
            message=message,
        )


def _end(stage: str, task: TierTask, attempts: tuple[Attempt, ...], **fields: Any) -> Output:  # noqa: ANN401 - Outcome's fields
    prefix, prefix_tokens = prompt_prefix(task.request)
    outcome = Outcome(
        **(dimensions_of(task.request) | {"query_type": task.decision.query_type}),
        **fields,
        request_id=task.request.request_id,
        revision=task.revision,
        cost_usd=sum((attempt.cost_usd for attempt in attempts), start=Decimal(0)),
        provider_ms=round(sum(attempt.provider_ms for attempt in attempts), 3),
        route=attempts,
        source=task.source,
        digest=task.digest,
        stage=stage,
        hops=task.hops,
        signature=task.decision.signature,
        prefix=prefix,
        prefix_tokens=prefix_tokens,
    )
    return Output(OUTCOMES, outcome)
