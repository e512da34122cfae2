"""Hypothesis strategies for every record of the contract."""

from base64 import b64encode
from datetime import UTC, datetime

from hypothesis import strategies as st

from topics.alerts import Alert
from topics.batches import (
    Batch,
    BatchAnswer,
    BatchAnswers,
    BatchCancelled,
    BatchEnded,
    BatchError,
    BatchLine,
    BatchLines,
    BatchProgress,
    BatchStatus,
    File,
    FileData,
    FileDeleted,
    Refusal,
    Stretch,
)
from topics.budgets import AccountSum, BudgetSnapshot, BudgetSums, Claim, Payer, Release, Reservation, Spending
from topics.bulk import BulkTask, Member, Submission, SubmissionEnded, Submitted
from topics.control import (
    ActiveModel,
    BreakerOrder,
    BreakerState,
    BreakerStatus,
    ModelFile,
    ModelStatus,
    ModelStep,
    PartitionCount,
)
from topics.conversations import Conversation
from topics.events import Chunk, DeadLetterNote, Delta, Hop, Hops, Status, StatusEvent, StatusKind
from topics.feedback import Cancellation, Feedback, FeedbackKind
from topics.journal import CallEnded, CallError, CallStarted, Purpose, Rates, Usage
from topics.learned import (
    CanaryState,
    JudgeRate,
    JudgeRates,
    LabelCount,
    OnlinePolicyUpdate,
    Promotion,
    PromotionFigure,
    PromotionStep,
)
from topics.messages import (
    CacheControl,
    FilePart,
    FileSource,
    FunctionCall,
    FunctionTool,
    ImagePart,
    ImageUrl,
    Message,
    PlainFormat,
    RedactedThinkingPart,
    SchemaFormat,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCall,
    ToolCallPlace,
)
from topics.requests import DataClass, Impact, Params, Request, RequestContext, ServiceClass, Tolerance
from topics.results import Cancelled, Outcome, Result, ResultError, ResultStatus, Settled
from topics.shadow import ShadowTask
from topics.tasks import Answer, Attempt, Completion, Decision, Escalation, Parked, Source, TierTask, Waited

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(min_size=1, max_size=60).filter(lambda t: t.isprintable() and t == t.strip())
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
tiers = st.integers(1, 99)
counts = st.integers(0, 2**53)
digits = st.text("0123456789abcdef", min_size=16, max_size=16)
positive = st.integers(1, 2**31)
revisions = st.integers(0, 5)
moments = st.integers(0, 7000 * 365 * 86_400).map(lambda seconds: datetime.fromtimestamp(seconds + 0.125, UTC))
money = st.decimals(0, 10**12, places=12)
rate = st.decimals(0, 10**5, places=6)
shares = st.floats(0, 1)
millis = st.floats(0, 10**9)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def maybe(strategy):
    return st.none() | strategy


def some(strategy, least=0):
    return st.lists(strategy, min_size=least, max_size=3).map(tuple)


def every_field(model, /, **strategies):
    """Records of a type in which every field varies: one that is forgotten would be tested nowhere."""
    if missing := model.model_fields.keys() - strategies.keys():
        raise TypeError(f"tests/support/record_strategies.py: {model.__name__} has no strategy for {sorted(missing)}")
    return st.builds(model, **strategies)


caches = every_field(CacheControl, type=st.just("ephemeral"), ttl=maybe(st.sampled_from(("5m", "1h"))))
data_urls = st.binary(max_size=9).map(lambda data: f"data:image/png;base64,{b64encode(data).decode()}")
web_urls = st.text("abc/", max_size=9).map(lambda path: f"https://example.com/{path}")
call_ids = st.text("abc_1", min_size=1, max_size=8)
functions = every_field(FunctionCall, name=names, arguments=texts)
tool_calls = every_field(ToolCall, id=call_ids, type=st.just("function"), function=functions)
call_lists = st.lists(tool_calls, max_size=3, unique_by=lambda call: call.id).map(tuple)
text_parts = every_field(TextPart, type=st.just("text"), text=texts, cache_control=maybe(caches))
image_parts = every_field(
    ImagePart,
    type=st.just("image_url"),
    image_url=every_field(ImageUrl, url=data_urls | web_urls, detail=maybe(st.sampled_from(("auto", "low", "high")))),
    cache_control=maybe(caches),
)
file_sources = every_field(FileSource, file_data=data_urls, file_url=st.none(), filename=maybe(texts)) | every_field(
    FileSource, file_data=st.none(), file_url=data_urls | web_urls, filename=maybe(texts)
)
file_parts = every_field(FilePart, type=st.just("file"), file=file_sources, cache_control=maybe(caches))
thinking_parts = every_field(
    ThinkingPart, type=st.just("thinking"), thinking=texts, signature=maybe(texts)
) | every_field(RedactedThinkingPart, type=st.just("redacted_thinking"), data=texts)
places = every_field(ToolCallPlace, type=st.just("tool_call"), id=call_ids)
spoken = {
    "tool_calls": some(tool_calls),
    "parts": maybe(some(text_parts | thinking_parts | places)),
    "logprobs": maybe(st.dictionaries(texts, json_values, max_size=2)),
}


NEVER = st.none()


def _message(role, content, *, calls=NEVER, call_id=NEVER, is_error=NEVER):
    return every_field(
        Message,
        role=role,
        content=content,
        name=maybe(texts),
        tool_calls=calls,
        tool_call_id=call_id,
        is_error=is_error,
    )


messages = (
    _message(st.sampled_from(("system", "developer")), texts | some(text_parts))
    | _message(st.just("user"), texts | some(text_parts | image_parts | file_parts))
    | _message(st.just("assistant"), texts | some(text_parts | thinking_parts), calls=maybe(call_lists))
    | _message(st.just("assistant"), NEVER, calls=call_lists.filter(bool))
    | _message(st.just("tool"), texts | some(text_parts | image_parts), call_id=call_ids, is_error=maybe(st.booleans()))
)
tools = every_field(
    Tool,
    type=st.just("function"),
    function=every_field(
        FunctionTool,
        name=st.text("abc_-", min_size=1, max_size=8),
        description=maybe(texts),
        parameters=maybe(st.dictionaries(texts, json_values, max_size=3)),
        strict=maybe(st.booleans()),
    ),
    cache_control=maybe(caches),
)
formats = every_field(PlainFormat, type=st.sampled_from(("text", "json_object"))) | every_field(
    SchemaFormat,
    type=st.just("json_schema"),
    json_schema=st.fixed_dictionaries(
        {"name": st.just("a")},
        optional={"schema": st.dictionaries(texts, json_values, max_size=2), "strict": st.booleans()},
    ),
)
params = every_field(
    Params,
    max_tokens=maybe(st.integers(1, 1_000_000)),
    temperature=maybe(st.floats(0, 2)),
    top_p=maybe(st.floats(0.01, 1)),
    stop=maybe(some(texts)),
    seed=maybe(st.integers(-(2**63), 2**64)),
    reasoning_effort=maybe(st.sampled_from(("none", "low", "max"))),
    service_tier=maybe(texts),
    logprobs=maybe(st.booleans()),
    top_logprobs=maybe(st.integers(0, 20)),
    n=maybe(st.just(1)),
)
contexts = every_field(
    RequestContext,
    user_role=maybe(texts),
    error_tolerance=st.sampled_from(Tolerance),
    business_impact=st.sampled_from(Impact),
    self_validating=st.booleans(),
    data_class=st.sampled_from(DataClass),
)
requests = every_field(
    Request,
    request_id=ids,
    messages=some(messages, least=1),
    conversation_id=maybe(ids),
    user_id=maybe(texts),
    feature=maybe(texts),
    query_type=maybe(texts),
    params=params,
    model=maybe(texts),
    response_schema=st.none(),
    response_format=maybe(formats),
    tools=st.lists(tools, max_size=3, unique_by=lambda tool: tool.function.name).map(tuple),
    tool_choice=maybe(st.sampled_from(("none", "auto"))),
    parallel_tool_calls=maybe(st.booleans()),
    context=contexts,
    service_class=st.sampled_from(ServiceClass),
    timeout_ms=maybe(st.integers(1, 10**9)),
    deadline=maybe(moments),
    stream=st.booleans(),
    progress=maybe(st.booleans()),
    final_once_shown=maybe(st.booleans()),
    min_tier=maybe(tiers),
    max_tier=maybe(tiers),
    max_cost_usd=maybe(money),
    tags=some(texts),
)
usages = every_field(
    Usage,
    input=counts,
    output=counts,
    cached=counts,
    cache_written=counts,
    reasoning=counts,
    source=st.sampled_from(("provider", "estimated")),
)
rates = every_field(Rates, input=rate, output=rate, cached=rate, cache_write=maybe(rate), source=texts)
errors = every_field(CallError, kind=names, message=texts, status=maybe(counts), retry_after_ms=maybe(counts))
_call = {
    "call_id": st.uuids(),
    "attempt_id": st.uuids(),
    "request_id": ids,
    "revision": revisions,
    "stage": names,
    "n": st.integers(0, 9),
    "purpose": st.sampled_from(Purpose),
    "tier": tiers,
    "provider": names,
    "model": names,
    "started_at": moments,
    "asked_ms": maybe(counts),
}
call_started = every_field(CallStarted, **_call, deadline=moments)
call_ended = every_field(
    CallEnded,
    **_call,
    **spoken,
    ended_at=moments,
    content=maybe(texts),
    finish_reason=maybe(names),
    error=maybe(errors),
    usage=maybe(usages),
    rates=maybe(rates),
    cost_usd=money,
    shares=positive,
    first_token_ms=maybe(millis),
    batch_size=positive,
    batch_wait_ms=millis,
    provider_batch=maybe(names),
)
sources = every_field(Source, topic=names, partition=st.integers(0, 999), offset=counts, timestamp_ms=counts)
decisions = every_field(
    Decision,
    tier=tiers,
    rule=maybe(names),
    scores=some(shares),
    boundary=st.tuples(shares, shares),
    classifier=names,
    query_type=names,
    validate_answer=st.booleans(),
    floor=tiers,
    ceiling=tiers,
    reasons=some(names),
    classified_tier=maybe(tiers),
    signature=maybe(st.text("0123456789abcdef", min_size=16, max_size=16)),
    stays_with=maybe(names),
)
attempts = every_field(
    Attempt,
    attempt_id=st.uuids(),
    stage=names,
    tier=tiers,
    provider=names,
    model=names,
    why=texts,
    outcome=names,
    cost_usd=money,
    provider_ms=millis,
)
completions = every_field(
    Completion,
    attempt_id=st.uuids(),
    tier=tiers,
    provider=names,
    model=names,
    content=texts,
    finish_reason=names,
    usage=usages,
    failed=maybe(texts),
    said=maybe(texts),
    **spoken,
)
hop = every_field(
    Hop,
    stage=names,
    started_at=moments,
    ended_at=moments,
    queue_ms=millis,
    outcome=names,
    tier=maybe(tiers),
    attempt_id=maybe(st.uuids()),
    provider=maybe(names),
    model=maybe(names),
    provider_ms=millis,
    cost_usd=maybe(money),
    batch_size=maybe(positive),
    batch_wait_ms=maybe(millis),
    shares=maybe(positive),
    rule=maybe(names),
    classifier=maybe(names),
    scores=some(shares),
    detail=maybe(texts),
)
tasks = every_field(
    TierTask,
    request=requests,
    digest=names,
    revision=revisions,
    source=sources,
    deadline=moments,
    decision=decisions,
    tier=tiers,
    promoted_from=maybe(tiers),
    why=texts,
    waited=maybe(every_field(Waited, tier=tiers, ended_at=maybe(counts))),
    attempts=some(attempts),
    best=maybe(completions),
    hops=some(hop),
)
answers = every_field(Answer, task=tasks, completion=completions, why=texts, withheld=st.booleans())
escalations = every_field(Escalation, task=tasks, reason=texts, said=maybe(texts))
bulk_tasks = every_field(BulkTask, task=tasks, stage=names, provider=names, model=names)
parked = every_field(Parked, task=tasks, reason=texts, since_ms=maybe(counts), completion=maybe(completions))
shadow_tasks = every_field(ShadowTask, task=tasks, completion=completions, shadow=names)
ending = {
    "request_id": ids,
    "revision": revisions,
    "status": st.sampled_from(ResultStatus),
    "attempt_id": maybe(st.uuids()),
    "content": maybe(texts),
    "error": maybe(every_field(ResultError, code=names, message=texts)),
    "reason": maybe(texts),
    "said": maybe(texts),
    "tier": maybe(tiers),
    "provider": maybe(names),
    "model": maybe(names),
    "finish_reason": maybe(names),
    "usage": maybe(usages),
    "cost_usd": money,
    "provider_ms": millis,
    "route": some(attempts),
    "source": sources,
    "tags": some(texts),
    "user_id": maybe(texts),
    "feature": maybe(texts),
    "query_type": maybe(texts),
    "service_class": maybe(st.sampled_from(ServiceClass)),
    "signature": maybe(digits),
    "prefix": maybe(digits),
    "prefix_tokens": counts,
    **spoken,
}
outcomes = every_field(Outcome, **ending, digest=names, stage=names, hops=some(hop))
results = every_field(Result, **ending, latency_ms=millis, settled_at=moments)
settled = every_field(
    Settled,
    request_id=ids,
    revision=revisions,
    digest=names,
    asked_ms=maybe(counts),
    outcome_offset=maybe(counts),
)
status_events = every_field(
    StatusEvent,
    kind=st.sampled_from(StatusKind),
    at=moments,
    tier=maybe(tiers),
    provider=maybe(names),
    model=maybe(names),
    detail=maybe(texts),
    unknown_fields=some(names),
)
deltas = every_field(
    Delta,
    kind=st.sampled_from(("text", "reasoning", "signature", "redacted", "tool_call")),
    text=texts,
    index=maybe(st.integers(0, 9)),
    id=maybe(call_ids),
    name=maybe(names),
)
chunks = every_field(
    Chunk,
    request_id=ids,
    revision=revisions,
    attempt_id=st.uuids(),
    call_id=st.uuids(),
    seq=counts,
    kind=st.sampled_from(("text", "done", "broken")),
    text=texts,
    deltas=some(deltas),
    at=moments,
)
statuses = every_field(Status, request_id=ids, revision=revisions, events=some(status_events))
hops = every_field(Hops, request_id=ids, revision=revisions, hops=some(hop, least=1))
plain_kinds = st.sampled_from([kind for kind in FeedbackKind if kind is not FeedbackKind.RATING])
_feedback = {
    "request_id": ids,
    "revision": revisions,
    "user_id": maybe(texts),
    "comment": maybe(texts),
    "retry": maybe(st.booleans()),
}
feedback = (
    every_field(Feedback, **_feedback, kind=plain_kinds, rating=st.none(), correction=st.none())
    | every_field(
        Feedback, **_feedback, kind=st.just(FeedbackKind.RATING), rating=st.integers(1, 5), correction=st.none()
    )
    | every_field(
        Feedback, **_feedback, kind=st.just(FeedbackKind.HUMAN_CORRECTED), rating=st.none(), correction=maybe(texts)
    )
)
cancellations = every_field(Cancellation, request_id=ids, revision=revisions)
cancelled = every_field(Cancelled, request_id=ids, revision=revisions)
notes = every_field(
    DeadLetterNote,
    letter_partition=st.integers(0, 999),
    letter_offset=counts,
    letter_key=names,
    action=st.sampled_from(("retried", "purged")),
    at=moments,
    by=names,
    request_id=maybe(ids),
    revision=maybe(revisions),
)
partition_counts = every_field(PartitionCount, setting=st.just("partitions"), partitions=st.integers(1, 1000))
breaker_statuses = every_field(
    BreakerStatus,
    worker=names,
    target=names,
    state=st.sampled_from(BreakerState),
    forced=st.booleans(),
    reason=texts,
    since=moments,
    until=maybe(moments),
    calls=counts,
    failures=counts,
    slow=counts,
    at=moments,
)
breaker_orders = every_field(
    BreakerOrder, target=names, order=st.sampled_from(("open", "closed", "auto")), by=names, at=moments
)
published_versions = st.text("0123456789abcdef", min_size=12, max_size=12)
model_versions = published_versions | st.sampled_from(("shipped", "configured"))
model_files = every_field(
    ModelFile,
    version=published_versions,
    file=st.binary(max_size=40).map(b64encode),
    classifier=names,
    outcomes=counts,
    note=maybe(texts),
    by=names,
    at=moments,
)
active_models = every_field(
    ActiveModel,
    version=model_versions,
    delay_ms=counts,
    before=some(every_field(ModelStep, version=model_versions, effective_at=moments)),
    by=names,
    at=moments,
)
model_statuses = every_field(
    ModelStatus,
    worker=names,
    version=model_versions,
    ordered_at=moments,
    state=st.sampled_from(("loaded", "failed", "ignored")),
    detail=texts,
    at=moments,
)
judge_rates = every_field(
    JudgeRates,
    others=shares,
    reason=texts,
    cells=some(every_field(JudgeRate, tier=tiers, model=names, query_type=names, rate=shares, reason=texts)),
    at=moments,
)
canary_states = every_field(
    CanaryState,
    name=names,
    model=names,
    state=st.sampled_from(("running", "stopped", "passed")),
    reason=texts,
    candidate_requests=counts,
    candidate_failures=counts,
    incumbent_requests=counts,
    incumbent_failures=counts,
    by=names,
    at=moments,
)
online_policies = every_field(
    OnlinePolicyUpdate,
    version=positive,
    policy=st.binary(max_size=40).map(b64encode),
    delay_ms=counts,
    at=moments,
)
promotion_states = st.sampled_from(("proposed", "promoted", "rejected", "rolled_back", "refused"))
differences = st.floats(-1e6, 1e6)
promotions = every_field(
    Promotion,
    version=published_versions,
    classifier=names,
    before=model_versions,
    before_classifier=names,
    period_since=moments,
    period_until=moments,
    labels=some(every_field(LabelCount, source=names, labels=counts, left_out=counts)),
    trained_on=counts,
    held_back=counts,
    missing=counts,
    moved=counts,
    untested=counts,
    figures=some(
        every_field(
            PromotionFigure,
            name=names,
            candidate=differences,
            active=differences,
            low=maybe(differences),
            high=maybe(differences),
        )
    ),
    steps=st.lists(
        every_field(PromotionStep, state=promotion_states, by=names, reason=texts, at=moments), min_size=1, max_size=3
    ).map(tuple),
)
payers = every_field(Payer, user_id=maybe(names), feature=maybe(names), tags=some(names))
reservations = every_field(
    Reservation,
    call_id=st.uuids(),
    attempt_id=st.uuids(),
    request_id=ids,
    payer=payers,
    budgets=some(names),
    most_usd=money,
    waits_until=moments,
    expires_at=moments,
)
spendings = every_field(
    Spending, call_id=st.uuids(), request_id=ids, revision=revisions, payer=payers, cost_usd=money, ended_at=moments
)
conversations = every_field(
    Conversation,
    key=st.text("0123456789abcdef", min_size=32, max_size=32),
    provider=names,
    model=names,
    tier=tiers,
    usage=usages,
    at=moments,
)
releases = every_field(Release, call_id=st.uuids(), request_id=ids)
account_sums = every_field(AccountSum, key=names, sums=some(st.tuples(counts, money)), told=st.sampled_from((0, 1, 2)))
budget_snapshots = every_field(
    BudgetSnapshot,
    offset=counts,
    at_ms=counts,
    part=counts,
    parts=positive,
    by=names,
    budgets=some(
        every_field(
            BudgetSums,
            name=names,
            by=names,
            value=maybe(names),
            window_ms=positive,
            since=moments,
            accounts=some(account_sums),
        )
    ),
    claims=some(every_field(Claim, reservation=reservations, granted=st.booleans())),
)
alerts = every_field(
    Alert,
    id=st.uuids(),
    kind=st.sampled_from(("budget_soft", "budget_exhausted", "finding")),
    title=texts,
    text=texts,
    usd=maybe(money),
    at=moments,
    budget=maybe(names),
    key=maybe(names),
    spent_usd=maybe(money),
    limit_usd=maybe(money),
    window=maybe(names),
    evidence=some(ids),
)
files = every_field(
    File, file_id=ids, owner=texts, filename=texts, size=counts, offsets=some(counts), created_at=moments
)
files_deleted = every_field(FileDeleted, file_id=ids, at=moments)
file_data = every_field(FileData, file_id=ids, seq=counts, data=st.binary(max_size=9).map(b64encode))
batches = every_field(
    Batch,
    batch_id=ids,
    owner=texts,
    input_file_id=digits,
    endpoint=names,
    metadata=st.dictionaries(texts, texts, max_size=2),
    request_prefix=digits,
    total=counts,
    refused=counts,
    stretches=some(every_field(Stretch, first=counts, offset=counts)),
    errors=some(every_field(BatchError, code=names, message=texts, line=maybe(positive), param=maybe(texts))),
    created_at=moments,
    expires_at=moments,
)
refusals = every_field(Refusal, status=st.integers(400, 599), code=names, message=texts, param=maybe(texts))
batch_lines = every_field(
    BatchLines,
    batch_id=ids,
    first=counts,
    lines=some(
        every_field(
            BatchLine,
            custom_id=texts,
            model=texts,
            request=maybe(requests),
            refusal=maybe(refusals),
            echo=st.dictionaries(texts, json_values, max_size=2),
        )
    ),
)
batch_answers = every_field(
    BatchAnswers,
    batch_id=ids,
    answers=some(every_field(BatchAnswer, line=counts, offset=counts, size=counts, ok=st.booleans())),
)
batch_progress = every_field(
    BatchProgress,
    batch_id=ids,
    sent=counts,
    completed=counts,
    failed=counts,
    answers_at=some(counts),
    results_read=some(counts),
)
batches_cancelled = every_field(BatchCancelled, batch_id=ids, at=moments)
batches_ended = every_field(
    BatchEnded,
    batch_id=ids,
    status=st.sampled_from(BatchStatus),
    completed=counts,
    failed=counts,
    completed_bytes=counts,
    failed_bytes=counts,
    at=moments,
)
members = every_field(Member, offset=counts, request_id=ids, revision=revisions, n=counts, asked_ms=counts)
submissions = every_field(
    Submission,
    submission_id=ids,
    stage=names,
    provider=names,
    model=names,
    members=some(members, least=1),
    at=moments,
    gives_up_at=moments,
)
submitted = every_field(Submitted, submission_id=ids, batch_id=names, at=moments, found=st.booleans())
submissions_ended = every_field(
    SubmissionEnded,
    submission_id=ids,
    status=st.sampled_from(("collected", "refused", "lost")),
    answered=counts,
    detail=maybe(texts),
    at=moments,
)

by_record = {
    Request: requests,
    TierTask: tasks,
    Answer: answers,
    Escalation: escalations,
    Parked: parked,
    ShadowTask: shadow_tasks,
    CallStarted: call_started,
    CallEnded: call_ended,
    Outcome: outcomes,
    Result: results,
    Settled: settled,
    Status: statuses,
    Chunk: chunks,
    Hops: hops,
    Cancelled: cancelled,
    Feedback: feedback,
    Cancellation: cancellations,
    DeadLetterNote: notes,
    PartitionCount: partition_counts,
    BreakerStatus: breaker_statuses,
    BreakerOrder: breaker_orders,
    ModelFile: model_files,
    ActiveModel: active_models,
    ModelStatus: model_statuses,
    JudgeRates: judge_rates,
    CanaryState: canary_states,
    OnlinePolicyUpdate: online_policies,
    Promotion: promotions,
    Reservation: reservations,
    Spending: spendings,
    Release: releases,
    BudgetSnapshot: budget_snapshots,
    Conversation: conversations,
    Alert: alerts,
    File: files,
    FileDeleted: files_deleted,
    FileData: file_data,
    Batch: batches,
    BatchLines: batch_lines,
    BatchAnswers: batch_answers,
    BatchProgress: batch_progress,
    BatchCancelled: batches_cancelled,
    BatchEnded: batches_ended,
    BulkTask: bulk_tasks,
    Submission: submissions,
    Submitted: submitted,
    SubmissionEnded: submissions_ended,
}
"""Every record but the dead letter, which is made from bytes and not from values."""
