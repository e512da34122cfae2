"""A gate in a time that moves when the test says so."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from streams.admission import Admission, BreakerChange, Gate, UnavailableError
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.providers.base import ErrorKind, ProviderError
from topics.control import BreakerState

START = datetime(2026, 5, 1, tzinfo=UTC)


async def settle() -> None:
    """Let everything that can go on do so; a few turns of the loop are enough for a chain of wake-ups."""
    for _ in range(8):
        await asyncio.sleep(0)


@dataclass
class Alarm:
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Time:
    """Monotonic time, dates and alarms that move when the test says so."""

    now: float = 100.0
    alarms: list[tuple[float, int, Alarm]] = field(default_factory=list)
    rung: int = 0
    order: count = field(default_factory=count)

    def monotonic(self) -> float:
        return self.now

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.now - 100)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(callback)
        heapq.heappush(self.alarms, (self.now + seconds, next(self.order), alarm))
        return alarm

    async def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self.alarms and self.alarms[0][0] <= end:
            at, _, alarm = heapq.heappop(self.alarms)
            if not alarm.cancelled:
                self.now = max(self.now, at)
                self.rung += 1
                alarm.callback()
                await settle()
        self.now = end
        await settle()


FAST = ModelSettings(provider="a", model="fast", timeout_s=10)
OTHER = ModelSettings(provider="a", model="other", timeout_s=10)
LIMITED = ModelSettings(provider="a", model="limited", requests_per_minute=60, tokens_per_minute=12_000)
BIG = ModelSettings(provider="b", model="big")


@dataclass
class Scene:
    """A gate with two slots at provider a, and everything that it told."""

    slots: int = 2
    time: Time = field(default_factory=Time)
    changes: list[BreakerChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = Settings(
            providers={
                "a": {"protocol": "openai", "api_key_env": "A", "max_concurrency": self.slots},
                "b": {"protocol": "openai", "api_key_env": "B"},
            },
            tiers=({"name": "one", "models": (FAST, OTHER)}, {"name": "two", "models": (LIMITED, BIG)}),
            validation={"judge": None, "fallback": None},
            routing={"rules": (), "classifier": "learned"},
            breakers={"window_s": 30, "min_calls": 4, "open_s": 5, "probes": 2},
        )
        self.gate = Gate(
            config,
            monotonic=self.time.monotonic,
            clock=self.time.clock,
            on_change=self.changes.append,
            call_later=self.time.call_later,
        )

    async def enter(self, model: ModelSettings = FAST, *, tokens: int = 100, patience_s: float = 2) -> Admission:
        return await self.gate.enter(model, tokens=tokens, patience_s=patience_s)

    async def waiting(
        self, model: ModelSettings = FAST, *, tokens: int = 100, patience_s: float = 2
    ) -> "asyncio.Task[Admission]":
        task = asyncio.create_task(self.enter(model, tokens=tokens, patience_s=patience_s))
        await settle()
        assert not task.done()
        return task

    async def refused(self, model: ModelSettings = FAST, *, tokens: int = 100, patience_s: float = 2):
        with pytest.raises(UnavailableError) as caught:
            await self.enter(model, tokens=tokens, patience_s=patience_s)
        assert caught.value.target == model.ref
        return caught.value.reason, caught.value.until_s

    async def break_(self, model: ModelSettings, seconds: float = 5) -> None:
        (await self.enter(model)).failed(rate_limited(seconds), 0.1)

    def state(self, target: str) -> BreakerState:
        return next(shown.state for shown in self.gate.snapshot() if shown.target == target)

    async def all_slots_are_free(self, model: ModelSettings = FAST) -> bool:
        admissions = [await self.enter(model, patience_s=0) for _ in range(self.slots)]
        await self.refused(model, patience_s=0)
        for admission in admissions:
            admission.cancelled()
        return True


def rate_limited(seconds: float) -> ProviderError:
    return ProviderError(ErrorKind.RATE_LIMITED, "wait", status=429, retry_after_ms=int(seconds * 1000))
