"""What decided when: the classifiers, the policies under a budget and the votes of a window, from Kafka."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streams.calls.tier_votes import vote_of
from streams.config.settings import Settings
from streams.control.control_state import ControlState, Learned, entries_of
from streams.control.model_store import MissingModelError, ModelStore
from streams.control.online_policies import OnlinePolicyFollower
from streams.control.rollout import CONFIGURED, Activation, Step, steps_of
from streams.kafka.topic_reader import RawRecord, TopicReader, partitions_of
from streams.routing.classifier import Classifier, Reading
from streams.routing.classifier_loading import (
    UnusableModelError,
    configured_classifier,
    published_classifier,
    shipped_classifier,
)
from streams.routing.online.versions import OnlinePolicies
from streams.routing.router import TierVote
from streams.routing.versions import ClassifierVersions
from topics.codec import DecodeError, decode
from topics.journal import ASKED_HEADER, ATTEMPT_HEADER, STAGE_HEADER, CallEnded, attempt_id
from topics.registry import CALLS, CONTROL
from topics.requests import Request
from topics.tasks import CLASSIFY

_MOST_VERSIONS: Final = 1_000


@dataclass(slots=True)
class History:
    """What `llm.control` says of the past.

    Attributes:
        steps: The versions of the classifier, in the order in which they took force.
        policies: Those that were learned under a budget.
        models: The published files, by version.
        unread: Versions that can't be loaded any more, and why; the version before decides in their place.
    """

    steps: tuple[Step, ...]
    policies: OnlinePolicies
    models: dict[str, bytes] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def classifiers(self, settings: Settings) -> ClassifierVersions:
        """Return the classifiers by their time, as workers with these settings would have had them.

        Raises:
            SettingsError: The configured model can't be used.
        """
        loaded: dict[str, Classifier] = {CONFIGURED: ReadOnce(configured_classifier(settings))}
        versions = ClassifierVersions(loaded[CONFIGURED], kept=_MOST_VERSIONS)
        for number, step in enumerate(self.steps):
            if step.version not in loaded and (found := self._load(settings, step.version)) is not None:
                loaded[step.version] = ReadOnce(found)
            if step.version in loaded:
                versions.activate(loaded[step.version], step.since_ms if number else 0)
        return versions

    def _load(self, settings: Settings, version: str) -> Classifier | None:
        if version == "shipped":
            return shipped_classifier(settings)
        if version not in self.models:
            self.unread.setdefault(version, "it was deleted")
            return None
        try:
            return published_classifier(settings, self.models[version], f"model {version}")
        except UnusableModelError as error:
            self.unread[version] = " ".join(str(error).split())
            return None


class ReadOnce:
    """A classifier that reads a request once, however many policies ask for its scores."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._last: tuple[Request, int, Reading] | None = None

    @property
    def version(self) -> str:
        """Of the classifier."""
        return self._classifier.version

    def read(self, request: Request, tiers: int) -> Reading:
        """Score a request, or return the scores where it was the last one that was asked about."""
        last = self._last
        if last is not None and last[0] is request and last[1] == tiers:
            return last[2]
        found = self._classifier.read(request, tiers)
        self._last = (request, tiers, found)
        return found


async def read_history(settings: Settings) -> History:
    """Read which classifiers and policies were in force when.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    state, policies, activations = ControlState(), OnlinePolicies(), []
    follower = OnlinePolicyFollower(policies)
    async with TopicReader(settings.kafka).opened(partitions_of(CONTROL, settings.kafka)) as cursor:
        ends = await cursor.ends()
        cursor.seek(await cursor.beginnings())
        async for record in cursor.until(ends):
            for entry in entries_of([record]):
                state.add(entry)
                # A policy that was withdrawn has decided all the same.
                if isinstance(entry, Learned):
                    follower.note(entry)
                elif isinstance(entry, Activation):
                    activations.append(entry)
    history = History(all_steps(activations), policies)
    store = ModelStore(settings.kafka)
    for version in {step.version for step in history.steps} & state.models.keys():
        try:
            history.models[version] = (await store.fetch(state.models[version])).file
        except MissingModelError as error:
            history.unread[version] = str(error)
    return history


def all_steps(activations: Iterable[Activation]) -> tuple[Step, ...]:
    """Return the versions in the order in which they took force, as all orders together tell.

    Each order names a few versions before it, so that orders which were compacted away are known in part.
    """
    steps: tuple[Step, ...] = steps_of(None)
    for activation in sorted(activations, key=lambda one: one.appended_ms):
        told = steps_of(activation)
        steps = (*(step for step in steps if step.since_ms < told[0].since_ms), *told)
    return steps


class Votes:
    """What a language model said of requests: the first end of each attempt, which is what decided."""

    def __init__(self) -> None:
        self._first: dict[tuple[bytes, int], TierVote | None] = {}

    def __len__(self) -> int:
        return len(self._first)

    def of(self, request: Request, asked_ms: int) -> TierVote | None:
        """Return the vote on a request that the broker appended then; None where there is none."""
        return self._first.get((attempt_id(request.request_id, 0, CLASSIFY, 0).bytes, asked_ms))

    def add(self, record: RawRecord) -> None:
        """Take in a record of the journal; those of other stages are passed over unread."""
        headers = dict(record.headers)
        if headers.get(STAGE_HEADER) != CLASSIFY.encode():
            return
        place = (headers.get(ATTEMPT_HEADER) or b"", int.from_bytes(headers.get(ASKED_HEADER) or b"", signed=True))
        if place in self._first:
            return
        try:
            call = decode(CALLS, record.value, record.headers).record
            if isinstance(call, CallEnded):
                self._first[place] = vote_of(call)
        except (DecodeError, json.JSONDecodeError):
            return


async def read_votes(settings: Settings, since_ms: int, until_ms: int) -> Votes:
    """Read the votes that the journal has of a stretch of time (ms since the epoch).

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    votes, reader = Votes(), TopicReader(settings.kafka)
    for tp in partitions_of(CALLS, settings.kafka):
        async for record in reader.read(tp, since_ms=since_ms):
            if record.timestamp >= until_ms:
                break
            votes.add(record)
    return votes
