"""What all stages of a process share, wired once at start."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from streams.admission import Gate
from streams.budgets.budgets import Budgets
from streams.calls.attempt_log import AttemptLog
from streams.calls.model_caller import ModelCaller
from streams.calls.vote_journal import VoteJournal
from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.control.learned_state import LearnedState
from streams.kafka.clock import Clock
from streams.kafka.publisher import Publisher
from streams.learning.shadow_budget import ShadowBudgets
from streams.routing.online.versions import OnlinePolicies
from streams.routing.router import Router
from streams.runtime.conversations import Conversations
from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests
from streams.telemetry import OFF, Telemetry


@dataclass(frozen=True)
class Engine:
    """The parts that handlers work with."""

    settings: Settings
    clock: Clock
    publisher: Publisher
    caller: ModelCaller
    gate: Gate
    router: Router
    models: EligibleModels
    settled: SettledRequests
    attempts: AttemptLog
    learned: LearnedState
    policies: OnlinePolicies
    votes: VoteJournal | None = None
    """None: no language model is asked where requests go, by these settings or in this process."""
    shadow_budgets: ShadowBudgets = field(default_factory=ShadowBudgets)
    results: ResultIndex | None = None
    """None: no stage of this process looks for results."""
    conversations: Conversations | None = None
    """None: no stage of this process decides where requests go."""
    budgets: Budgets | None = None
    """None: the settings have none, or no stage of this process spends anything."""
    telemetry: Telemetry = OFF
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    """Uniform in 0 to 1."""
