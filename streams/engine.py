"""What all stages of a process share, wired once at start."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from streams.attempt_log import AttemptLog
from streams.clock import Clock
from streams.context_windows import ContextWindows
from streams.gate import Gate
from streams.opinion_journal import OpinionJournal
from streams.pricing import PriceBook
from streams.providers.base import Provider
from streams.publisher import Publisher
from streams.routing.router import Router
from streams.settings import Settings
from streams.settled import SettledRequests


@dataclass(frozen=True)
class Engine:
    """The parts that handlers work with."""

    settings: Settings
    clock: Clock
    publisher: Publisher
    providers: Mapping[str, Provider]
    prices: PriceBook
    gate: Gate
    router: Router
    windows: ContextWindows
    settled: SettledRequests
    attempts: AttemptLog
    opinions: OpinionJournal | None = None
    """None: no language model is asked where requests go, by these settings or in this process."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    """Uniform in 0 to 1."""
