"""Deciding recorded requests again: as they were decided, and by another policy; nobody is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streams.config.eligible_models import EligibleModels, NoModelError
from streams.config.settings import Settings
from streams.routing.online.versions import OnlinePolicies
from streams.routing.policy import bounds_problem
from streams.routing.router import Draft, Router
from streams.routing.versions import ClassifierVersions
from tierstream.replay.history import Votes
from tierstream.replay.record import RecordedDecision, RecordedRequest
from tierstream.worker import new_router
from topics.requests import DataClass, Request
from topics.tasks import Decision


class Cause(StrEnum):
    """In which part a decision that is made again differs from the recorded one; the first that applies counts."""

    REFUSED = "refused"
    """It is refused now."""
    CLASSIFIER = "classifier"
    """Another classifier, vote or learned policy had a say."""
    SCORES = "scores"
    RULE = "rule"
    TIER = "tier"
    """All the same but the tier: a boundary, a floor, a ceiling, what models take and have room for, or a conversation
    that stayed with its model, as a replay has no memory of."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of deciding a request.

    Attributes:
        decision: None: it would have been refused.
        problem: Why.
        asks: Whether a language model would have been asked.
        is_voteless: Of these, whether the record has no vote, so that the classifier alone decided.
    """

    decision: Decision | None
    problem: str | None = None
    asks: bool = False
    is_voteless: bool = False

    @property
    def tier(self) -> int:
        """Where it starts; 0: nowhere."""
        return self.decision.tier if self.decision is not None else 0


class Decider:
    """Decides requests as workers with some settings would have at their time.

    Args:
        settings: The policy.
        classifiers: By the broker's time.
        router: Of the settings.
        votes: What a language model said then.
    """

    def __init__(self, settings: Settings, classifiers: ClassifierVersions, router: Router, votes: Votes) -> None:
        self.settings = settings
        self.classifiers = classifiers
        self._router = router
        self._votes = votes

    def decide(self, request: Request, asked_ms: int, *, was_late: bool = False) -> Decided:
        """Decide a request that the broker appended then (ms since the epoch).

        Args:
            request: What was asked.
            asked_ms: Its append time.
            was_late: Whether it came to be decided after its deadline, when nobody is asked.
        """
        if problem := bounds_problem(request, self.settings.top_tier):
            return Decided(None, problem)
        if not self.settings.may_serve(request.context.data_class):
            return Decided(None, f"context.data_class: no provider may see {request.context.data_class.value} data")
        try:
            draft = self._router.draft(request, request.digest(), asked_ms)
        except NoModelError as error:
            return Decided(None, str(error))
        if was_late or not draft.asks:
            return Decided(draft.decision)
        return self._voted(draft, request, asked_ms)

    def _voted(self, draft: Draft, request: Request, asked_ms: int) -> Decided:
        vote = self._votes.of(request, asked_ms)
        return Decided(self._router.decide(draft, vote), asks=True, is_voteless=vote is None)


def decider(
    settings: Settings, models: EligibleModels, classifiers: ClassifierVersions, policies: OnlinePolicies, votes: Votes
) -> Decider:
    """Make a decider of settings; see `new_router`."""
    return Decider(settings, classifiers, new_router(settings, models, classifiers, policies), votes)


def difference(recorded: RecordedDecision, found: Decided) -> Cause | None:
    """Say in what a decision differs from the recorded one; None where they are the same."""
    decision = found.decision
    if decision is None:
        return Cause.REFUSED
    pairs: Sequence[tuple[Cause, object, object]] = (
        (Cause.CLASSIFIER, recorded.classifier, decision.classifier),
        (Cause.SCORES, recorded.scores, decision.scores),
        (Cause.RULE, recorded.rule, decision.rule or ""),
        (Cause.TIER, recorded.tier, decision.tier),
    )
    return next((cause for cause, one, other in pairs if one != other), None)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded request, decided again.

    Attributes:
        record: What the ledger knows of it.
        was: The decision that is on record.
        again: Decided by the settings of the deployment.
        then: Decided by the other policy; the same where there is none.
        models: For each tier of the other policy, which place of its chain is the first that may serve the request;
            -1: none.
        tokens: Of its prompt, by a rough estimate that is the same for all models.
        query_type: What it is taken for.
        data_class: Who may see it.
    """

    record: RecordedRequest
    was: RecordedDecision
    again: Decided
    then: Decided
    models: tuple[int, ...]
    tokens: int
    query_type: str
    data_class: DataClass

    @property
    def cause(self) -> Cause | None:
        """In what the settings of the deployment differ from the record."""
        return difference(self.was, self.again)


def models_for(request: Request, settings: Settings, models: EligibleModels) -> tuple[int, ...]:
    """Return the place of the first model of each tier that may serve the request; -1: none."""
    return tuple(
        next(
            (place for place, model in enumerate(tier.models) if models.may_serve(model, request)),
            -1,
        )
        for tier in settings.tiers
    )
