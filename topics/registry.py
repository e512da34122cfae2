"""The topics: their names, what they carry, and how the broker keeps them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Generic, Literal, TypeVar

from topics.alerts import Alert
from topics.base import Record
from topics.batches import (
    Batch,
    BatchAnswers,
    BatchCancelled,
    BatchEnded,
    BatchLines,
    BatchProgress,
    File,
    FileData,
    FileDeleted,
)
from topics.budgets import BudgetSnapshot, Release, Reservation, Spending
from topics.bulk import BulkTask, Submission, SubmissionEnded, Submitted
from topics.control import ActiveModel, BreakerOrder, BreakerStatus, ModelFile, ModelStatus, PartitionCount
from topics.conversations import Conversation
from topics.events import Chunk, DeadLetter, DeadLetterNote, Hops, Status
from topics.feedback import Cancellation, Feedback
from topics.journal import CallEnded, CallStarted
from topics.learned import CanaryState, JudgeRates, OnlinePolicyUpdate, Promotion
from topics.requests import Request
from topics.results import Cancelled, Outcome, Result, Settled
from topics.shadow import ShadowTask
from topics.tasks import Answer, Escalation, Parked, TierTask

M_co = TypeVar("M_co", bound=Record, covariant=True)


@dataclass(frozen=True)
class TopicSpec(Generic[M_co]):
    """A topic, its records and its retention. `name` has no prefix; the deployment adds it."""

    name: str
    records: tuple[type[M_co], ...]
    writes: str
    """Who produces to it."""
    reads: str
    """Who consumes it."""
    about: str
    cleanup: Literal["delete", "compact"] = "delete"
    public: bool = True
    """Whether other services may rely on it."""
    from_outside: bool = False
    """Whether other services write it, so that a value may be anything and what can't be read is rejected."""

    def full_name(self, prefix: str) -> str:
        """Name of the topic on the cluster."""
        return prefix + self.name


REQUESTS = TopicSpec(
    "requests",
    (Request,),
    "any service; batch",
    "classify, learn",
    "What is asked. Any key; `request_id` and `messages` are enough.",
    from_outside=True,
)
STATUS = TopicSpec("status", (Status,), "every stage", "any service", "What happens to a request, as it happens.")
CALLS = TopicSpec(
    "calls",
    (CallStarted, CallEnded),
    "stages that pay for calls",
    "the same stages, as memory; the sink, as ledger",
    "The journal of paid calls: one record before each call, one after.",
)
CHUNKS = TopicSpec(
    "chunks",
    (Chunk,),
    "infer",
    "any service",
    "Text of streamed answers as it arrives; the result names the attempt that won.",
)
VALIDATION = TopicSpec(
    "validation",
    (Answer,),
    "infer, parked",
    "validate",
    "Answers on a critical path or of a sample that await a judge.",
    public=False,
)
ESCALATIONS = TopicSpec(
    "escalations",
    (Escalation,),
    "infer, validate",
    "escalate",
    "Answers that were not good enough.",
    public=False,
)
PARKED = TopicSpec(
    "parked",
    (Parked,),
    "infer, validate, parked",
    "parked",
    "Tasks that rest because no provider is to be had, and answers for want of a judge.",
    public=False,
)
OUTCOMES = TopicSpec(
    "outcomes",
    (Outcome,),
    "every deciding stage",
    "settle; the door",
    "Decided endings, possibly duplicates.",
    public=False,
)
RESULTS = TopicSpec(
    "results",
    (Result,),
    "settle",
    "any service; learn; batch; the sink",
    "Exactly one result a request: read with `isolation_level=read_committed`.",
)
SETTLED: TopicSpec[Settled | Cancelled] = TopicSpec(
    "settled",
    (Settled, Cancelled),
    "settle; feedback",
    "every stage and the door, as memory",
    "Markers of published results, and of requests that nobody waits for.",
    public=False,
)
FEEDBACK: TopicSpec[Feedback | Cancellation] = TopicSpec(
    "feedback",
    (Feedback, Cancellation),
    "any service; batch",
    "feedback, learn",
    "What users and programs say of results, and of requests that nobody waits for. Any key; `request_id` and `kind` "
    "are enough.",
    from_outside=True,
)
HOPS = TopicSpec(
    "hops", (Hops,), "every stage", "the sink", "The steps of a request, with its result; a row each in ClickHouse."
)
SHADOW = TopicSpec(
    "shadow",
    (ShadowTask,),
    "infer",
    "shadow",
    "Answered requests that a candidate is asked as well, for comparison.",
    public=False,
)
CONTROL = TopicSpec(
    "control",
    (
        PartitionCount,
        BreakerStatus,
        BreakerOrder,
        ModelFile,
        ActiveModel,
        ModelStatus,
        JudgeRates,
        CanaryState,
        OnlinePolicyUpdate,
        Promotion,
    ),
    "stages, learn among them, CLI",
    "stages, CLI",
    "What all processes of a deployment share.",
    "compact",
    public=False,
)
BUDGETS = TopicSpec(
    "budgets",
    (Reservation, Spending, Release, BudgetSnapshot),
    "stages that pay for calls",
    "the same stages, as memory; the CLI",
    "What budgets have spent, in one order for all: on a single partition.",
    public=False,
)
CONVERSATIONS = TopicSpec(
    "conversations",
    (Conversation,),
    "infer",
    "classify, as memory",
    "Which model made an answer with tool calls, so that the conversation stays with it.",
    public=False,
)
ALERTS = TopicSpec(
    "alerts",
    (Alert,),
    "stages that pay for calls",
    "any service; alerts, for a webhook; the CLI",
    "Budgets that pass their soft share or are exhausted, and findings.",
)
BATCHES = TopicSpec(
    "batches",
    (Batch, BatchProgress, BatchCancelled, BatchEnded, File, FileDeleted),
    "the door, batch",
    "the door, batch",
    "Files and batches: which there are, and how far each batch is.",
    public=False,
)
FILES = TopicSpec(
    "files",
    (FileData, BatchLines, BatchAnswers),
    "the door, batch",
    "the door, batch",
    "What is in files, the lines of batches as requests, and where their results are; read by offset alone.",
    public=False,
)
BULK = TopicSpec(
    "bulk",
    (BulkTask,),
    "infer",
    "bulk",
    "Tasks whose next call waits for a batch of the provider.",
    public=False,
)
SUBMISSIONS: TopicSpec[Submission | Submitted | SubmissionEnded] = TopicSpec(
    "submissions",
    (Submission, Submitted, SubmissionEnded),
    "bulk",
    "bulk, as memory; the CLI",
    "Batches of providers: what is in each, under which id the provider has it, and how it ended.",
    public=False,
)
DEAD_LETTERS = TopicSpec(
    "dead-letters",
    (DeadLetter, DeadLetterNote),
    "every stage; the CLI",
    "the CLI",
    "Records that could not be served, with their bytes, and what became of them.",
)


@cache
def tier_tasks(tier: int) -> TopicSpec[TierTask]:
    """Return the topic of one tier; 1 is the cheapest."""
    return TopicSpec(
        f"tier{tier}",
        (TierTask,),
        "classify, escalate, infer, parked, bulk, feedback",
        f"infer:{tier}",
        f"Tasks for tier {tier}.",
        public=False,
    )


def all_topics(tiers: int) -> Iterator[TopicSpec[Record]]:
    """Yield every topic of a deployment with that many tiers, in the order in which a request meets them."""
    yield REQUESTS
    yield STATUS
    for tier in range(1, tiers + 1):
        yield tier_tasks(tier)
    yield from (
        CALLS,
        CHUNKS,
        VALIDATION,
        ESCALATIONS,
        PARKED,
        BULK,
        SUBMISSIONS,
        OUTCOMES,
        RESULTS,
        SETTLED,
        FEEDBACK,
        HOPS,
        SHADOW,
        CONTROL,
        BUDGETS,
        CONVERSATIONS,
        ALERTS,
        BATCHES,
        FILES,
        DEAD_LETTERS,
    )
