"""A worker process: runs the stages that it is given until it is told to stop or one of them fails."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from agents.alerts import MissingSecretError
from agents.bulk import STAGE as BULK
from agents.classify import classify
from agents.feedback import feedback
from agents.infer import infer
from streams.admission import BreakerChange, Gate
from streams.budgets.budgets import Budgets
from streams.calls.attempt_log import AttemptLog
from streams.calls.model_caller import ModelCaller
from streams.calls.pricing import PriceBook
from streams.calls.vote_journal import VoteJournal
from streams.config.eligible_models import EligibleModels
from streams.config.model_catalogue import ModelTable
from streams.config.settings import Settings
from streams.config.settings_sections import RoutingSettings
from streams.control.active_models import ActiveModels
from streams.control.control_follower import ControlFollower
from streams.control.control_state import Learned, Withdrawn
from streams.control.learned_state import LearnedState
from streams.control.model_store import ModelStore
from streams.control.online_policies import OnlinePolicyFollower
from streams.control.status_publisher import StatusPublisher, worker_name
from streams.kafka.admin import check_topics
from streams.kafka.clock import BrokerClock, Clock, utc_now
from streams.kafka.publisher import Publisher
from streams.providers.base import Provider
from streams.providers.registry import build_providers
from streams.routing.affinity import Affinity
from streams.routing.classifier_loading import configured_classifier
from streams.routing.online.budget import BudgetRouting
from streams.routing.online.features import RequestFeatures
from streams.routing.online.versions import OnlinePolicies
from streams.routing.policy import Policy
from streams.routing.router import ASK_ALWAYS, Router
from streams.routing.versions import ClassifierVersions
from streams.runtime.conversations import Conversations
from streams.runtime.engine import Engine
from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests
from streams.runtime.unless import unless
from tierstream.monitoring.worker_monitoring import WorkerMonitoring, worker_monitoring
from tierstream.stack.dependencies import Dependency, kafka_is_away
from tierstream.stack.service_process import announce_ready, stop_signal
from tierstream.stage_runs import on_faust, run_of, stage_names
from topics.control import BreakerStatus

log = logging.getLogger(__name__)

SIMULATOR_URL_VARIABLE = "TIERSTREAM_SIMULATOR_URL"
SIMULATED_VARIABLE = "TIERSTREAM_SIMULATED"


_PREPARE_AFTER_S = 5.0
"""What has waited for a worker comes first."""


class WorkerError(Exception):
    """The worker can't start; the message says what to do."""


def choose_stages(wanted: Sequence[str], settings: Settings) -> list[str]:
    """Resolve names such as `infer` (all tiers) or `infer:1`; none at all means every stage.

    Raises:
        WorkerError: For a name that no stage has.
    """
    known = stage_names(settings)
    if not wanted:
        return known
    chosen: set[str] = set()
    for name in wanted:
        found = [stage for stage in known if name in {stage, stage.partition(":")[0]}]
        if not found:
            raise WorkerError(f"no stage is called {name!r}; there are {', '.join(known)}")
        chosen.update(found)
    return [stage for stage in known if stage in chosen]


async def run_worker(settings: Settings, stages: Sequence[str], local: Clock = utc_now) -> None:
    """Run the stages until SIGTERM or SIGINT; while Kafka does not answer, wait for it.

    Args:
        settings: Of the deployment.
        stages: Their names.
        local: The clock of the machine; what is decided is decided by the brokers'.

    Raises:
        WorkerError: If the topics are not as they must be.
        Exception: The error of the first stage that failed; the process must end and be started again.
    """
    for finding in ModelTable(settings.providers, settings.retired).findings(settings.models(), local().date()):
        log.warning("%s: %s", finding.place, finding.message)
    stop = stop_signal()
    kafka = Dependency.kafka(settings.kafka)
    async with AsyncExitStack() as running:
        monitoring = await running.enter_async_context(
            worker_monitoring(settings, worker_name(settings.kafka), lambda: kafka.is_away)
        )
        ready = _Readiness(len(stages), monitoring.note_ready)

        async def start() -> tuple[Engine, "Sequence[asyncio.Task[None]]"]:
            await _check_topics(settings)
            return await running.enter_async_context(_engine(settings, stages, local, monitoring))

        started = await kafka.attempt(lambda: unless(stop.wait(), start()), is_away=kafka_is_away, stop=stop)
        if started is None:
            return
        engine, following = started
        await running.enter_async_context(kafka.watched())
        try:
            runs = [run_of(name, engine, monitoring)(stop, ready.once(name)) for name in stages]
        except MissingSecretError as error:
            raise WorkerError(str(error)) from None
        await _until_first_failure(runs, following, stop)


async def _check_topics(settings: Settings) -> None:
    if problems := await check_topics(settings):
        raise WorkerError("; ".join(problems))


@asynccontextmanager
async def _engine(
    settings: Settings, stages: Sequence[str], local: Clock, monitoring: WorkerMonitoring
) -> AsyncIterator[tuple[Engine, "Sequence[asyncio.Task[None]]"]]:
    """Wire what all stages share; yields it with the tasks that keep it up to date."""
    simulated = [name for name in os.environ.get(SIMULATED_VARIABLE, "").split(",") if name]
    providers = build_providers(
        settings, environ=os.environ, simulator_url=os.environ.get(SIMULATOR_URL_VARIABLE), simulated=simulated
    )
    prices = PriceBook(settings.prices, settings.providers)
    for _, model in settings.models():
        # A model without a price would fail each of its calls; better not to start.
        prices.rates(model.provider, model.model, local())
    eligible = EligibleModels(settings)
    clock = BrokerClock(local)
    settled = SettledRequests(settings, clock)
    # What waits for batches are calls of the tiers.
    attempts = AttemptLog(settings, [*stages, *(_tiers(settings) if BULK in stages else ())], clock)
    results = ResultIndex(settings, settled, clock) if feedback.name in stages else None
    conversations = Conversations(settings, clock) if classify.name in stages else None
    async with Publisher(settings.kafka, clock=clock) as publisher:
        statuses = StatusPublisher(publisher, worker_name(settings.kafka), clock)
        # Its acknowledgement tells the time, before anything is read by it.
        await statuses.begin()

        def on_change(change: BreakerChange) -> None:
            statuses.note(_status_of(change, statuses.worker, clock()))
            monitoring.note_breaker(change)

        gate = Gate(settings, clock=clock, on_change=on_change)
        monitoring.watch_gate(gate)
        classifier = configured_classifier(settings)
        classifiers = ClassifierVersions(classifier)
        models = ActiveModels(
            classifiers,
            classifier,
            settings=settings,
            store=ModelStore(settings.kafka),
            clock=clock,
            worker=statuses.worker,
            report=statuses.note,
        )
        learned, policies = LearnedState(), OnlinePolicies()
        follower = OnlinePolicyFollower(policies)
        # A window has hundreds of policies, which would be read at each start for nothing.
        has_budget = settings.routing.budget_usd_per_request is not None

        def take_in(entry: Learned | Withdrawn) -> None:
            learned.note(entry)
            if has_budget:
                follower.note(entry)

        control = ControlFollower(
            settings.kafka,
            lambda order: gate.order(order.target, order.order),
            on_models=models.follow,
            on_learned=take_in,
        )
        asks, pays = _asks_and_pays(settings, stages)
        spends = bool(settings.budgets) and (pays or classify.name in stages)
        budgets = Budgets(settings, publisher, clock, statuses.worker) if spends else None
        votes = VoteJournal(publisher, attempts) if asks else None
        preparing = asyncio.create_task(_prepare(providers if pays else {}))
        memories = [
            settled.run,
            control.run,
            *([attempts.run] if pays else []),
            *([budgets.run] if budgets is not None else []),
            *([conversations.run] if conversations is not None else []),
        ]
        try:
            async with _followed(memories, statuses) as following:
                engine = Engine(
                    settings=settings,
                    clock=clock,
                    publisher=publisher,
                    caller=ModelCaller(providers, prices, gate, clock, monitoring.telemetry),
                    gate=gate,
                    router=new_router(settings, eligible, classifiers, policies),
                    models=eligible,
                    settled=settled,
                    attempts=attempts,
                    learned=learned,
                    policies=policies,
                    votes=votes,
                    results=results,
                    conversations=conversations,
                    budgets=budgets,
                    telemetry=monitoring.telemetry,
                )
                yield engine, following
        finally:
            preparing.cancel()
            if results is not None:
                await results.close()
            await asyncio.gather(
                preparing, *(provider.close() for provider in providers.values()), return_exceptions=True
            )


async def _prepare(providers: Mapping[str, Provider]) -> None:
    """Have every provider ready before it is needed: the first fallback should be as fast as the second."""
    await asyncio.sleep(_PREPARE_AFTER_S)
    for name, provider in providers.items():
        try:
            await provider.prepare()
        except ImportError:
            log.exception("provider %s can't be used", name)


@asynccontextmanager
async def _followed(
    memories: Sequence[Callable[[asyncio.Event], Coroutine[Any, Any, None]]], statuses: StatusPublisher
) -> AsyncIterator["Sequence[asyncio.Task[None]]"]:
    """Fill the memories, keep them up to date and say how this process is, until the block ends."""
    loaded = [asyncio.Event() for _ in memories]
    following = [
        *(asyncio.create_task(run(event)) for run, event in zip(memories, loaded, strict=True)),
        asyncio.create_task(statuses.run()),
    ]
    try:
        for event, task in zip(loaded, following, strict=False):
            await unless(task, event.wait())
        yield following
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def _asks_and_pays(settings: Settings, stages: Sequence[str]) -> tuple[bool, bool]:
    """Whether any of these stages asks for votes by these settings, and whether any makes paid calls."""
    instances = [instance for instance in on_faust(settings) if instance.name in stages]
    asks = settings.routing.asks_llm and any(one.votes for one in instances)
    return asks, asks or BULK in stages or any(one.pays for one in instances)


def _tiers(settings: Settings) -> list[str]:
    return [instance.name for instance in infer.instances(settings)]


def _status_of(change: BreakerChange, worker: str, at: datetime) -> BreakerStatus:
    return BreakerStatus(worker=worker, at=at, **asdict(change))


def new_router(
    settings: Settings,
    models: EligibleModels,
    classifiers: ClassifierVersions | None = None,
    policies: OnlinePolicies | None = None,
) -> Router:
    """Make the router that the settings describe.

    Args:
        settings: Of the deployment.
        models: Who may serve which request.
        classifiers: The versions of the classifier that decide when; None: the configured one, always.
        policies: What was learned under a budget; None: nothing, so that the classifier decides.

    Raises:
        SettingsError: The model file can't be used.
    """
    return Router(
        policy=Policy(settings.routing.rules, settings.top_tier, settings.routing.limits),
        classifiers=classifiers or ClassifierVersions(configured_classifier(settings)),
        tiers=settings.top_tier,
        boundary=settings.routing.boundary,
        models=models,
        ask_band=_ask_band(settings.routing),
        budget=_budget(settings, policies),
        affinity=Affinity(settings, models, PriceBook(settings.prices, settings.providers).rates),
    )


def _budget(settings: Settings, policies: OnlinePolicies | None) -> BudgetRouting | None:
    if policies is None or settings.routing.budget_usd_per_request is None:
        return None
    return BudgetRouting(policies, RequestFeatures(), settings.top_tier)


def _ask_band(routing: RoutingSettings) -> tuple[float, float] | None:
    if not routing.asks_llm:
        return None
    return routing.llm.ask if routing.classifier == "cascade" else ASK_ALWAYS


async def _until_first_failure(
    runs: Sequence[Coroutine[Any, Any, None]], following: "Sequence[asyncio.Task[None]]", stop: asyncio.Event
) -> None:
    """Run all; when one ends by an exception, or what they share is not kept up to date, stop all and raise it."""
    tasks = [asyncio.create_task(run) for run in runs]
    stopping = asyncio.create_task(stop.wait())
    watched = [*tasks, *following]
    await asyncio.wait([*watched, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    stop.set()
    await asyncio.wait(tasks)
    for task in watched:
        if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
            raise failure


class _Readiness:
    """Writes the ready file when every stage has its partitions, so that whoever started the worker knows.

    Args:
        stages: How many there are.
        note_ready: Is told so too.
    """

    def __init__(self, stages: int, note_ready: Callable[[], None]) -> None:
        self._waiting = stages
        self._note_ready = note_ready
        self._seen: set[str] = set()

    def once(self, name: str) -> Callable[[], None]:
        def note() -> None:
            if name not in self._seen:
                self._seen.add(name)
                self._check()

        return note

    def _check(self) -> None:
        if len(self._seen) == self._waiting:
            log.info("ready: %s", ", ".join(sorted(self._seen)))
            self._note_ready()
            announce_ready()
