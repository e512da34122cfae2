"""The gate in a time of its own: turns, patience, breakers while calls wait, and that nothing leaks."""

import asyncio
import gc
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.gate_scene import BIG, FAST, LIMITED, OTHER, START, Scene, rate_limited, settle

from streams.admission import Admission, Gate, UnavailableError
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.providers.base import ErrorKind, ProviderError, ProviderLimits
from topics.control import BreakerState

OPEN, CLOSED = BreakerState.OPEN, BreakerState.CLOSED
SERVER_ERROR = ProviderError(ErrorKind.SERVER_ERROR, "broken", status=500)


async def refusal(task: "asyncio.Task[Admission]"):
    with pytest.raises(UnavailableError) as caught:
        await task
    return caught.value.reason, caught.value.until_s


async def test_a_refused_key_shuts_every_model_of_its_provider_and_no_other():
    scene = Scene(slots=3)
    spare = await scene.enter(OTHER)
    refused = await scene.enter(FAST)
    waiting = [await scene.enter(LIMITED), await scene.waiting(OTHER)]
    refused.failed(ProviderError(ErrorKind.BAD_KEY, "no", status=401), 0.1)
    assert await refusal(waiting[1]) == ("breaker_open", 60)
    assert [scene.state(model.ref) for model in (FAST, OTHER, LIMITED, BIG)] == [OPEN, OPEN, OPEN, CLOSED]
    reasons = {shown.target: shown.reason for shown in scene.gate.snapshot()}
    assert reasons["a/fast"] == reasons["a/other"] == "a refuses the key in A: set a valid one and restart the workers"
    assert not spare.stands
    # A probe a minute is all that the provider sees, and one that is refused shuts them all again.
    await scene.time.pass_(60)
    assert scene.state("a/other") is BreakerState.HALF_OPEN
    (await scene.enter(OTHER)).failed(ProviderError(ErrorKind.BAD_KEY, "no", status=401), 0.1)
    assert await scene.refused(FAST) == ("breaker_open", 60)
    assert len(scene.changes) == 9


@pytest.mark.parametrize(("kind", "status"), [(ErrorKind.BAD_KEY, 403), (ErrorKind.BAD_KEY, None)])
async def test_a_refusal_that_may_be_the_models_own_shuts_that_model_alone(kind, status):
    scene = Scene()
    (await scene.enter(FAST)).failed(ProviderError(kind, "no", status=status), 0.1)
    assert [scene.state(model.ref) for model in (FAST, OTHER)] == [OPEN, CLOSED]


async def test_an_order_to_stay_closed_holds_against_a_refused_key():
    scene = Scene()
    scene.gate.order("a/other", "closed")
    (await scene.enter(FAST)).failed(ProviderError(ErrorKind.BAD_KEY, "no", status=401), 0.1)
    assert [scene.state(model.ref) for model in (FAST, OTHER, LIMITED)] == [OPEN, CLOSED, OPEN]
    (await scene.enter(OTHER)).failed(ProviderError(ErrorKind.BAD_KEY, "no", status=401), 0.1)
    assert scene.state("a/other") is CLOSED


async def test_slots_of_a_provider_go_to_whoever_came_first_whatever_the_model():
    scene = Scene()
    held = [await scene.enter(FAST), await scene.enter(OTHER)]
    waiting = [await scene.waiting(model) for model in (OTHER, FAST, OTHER)]
    (await scene.enter(BIG)).cancelled()
    for admission, task in zip(held, waiting[:2], strict=True):
        admission.succeeded(1.0, 50, None)
        await settle()
        assert task.done()
    assert not waiting[2].done()
    waiting[1].result().cancelled()
    (await waiting[2]).cancelled()
    waiting[0].result().cancelled()
    assert await scene.all_slots_are_free()


async def test_a_call_without_a_slot_gives_up_when_its_patience_ends():
    scene = Scene()
    held = [await scene.enter(), await scene.enter()]
    task = await scene.waiting(patience_s=2)
    await scene.time.pass_(1.99)
    assert not task.done()
    await scene.time.pass_(0.01)
    assert await refusal(task) == ("busy", None)
    assert await scene.refused(patience_s=0) == ("busy", None)
    for admission in held:
        admission.cancelled()
    assert await scene.all_slots_are_free()


async def test_waiting_takes_no_more_wake_ups_than_there_are_reasons():
    scene = Scene()
    held = [await scene.enter(), await scene.enter()]
    tasks = [await scene.waiting(patience_s=3600) for _ in range(5)]
    await scene.time.pass_(3599)
    assert scene.time.rung == 0
    await scene.time.pass_(1)
    assert scene.time.rung == 1
    assert [await refusal(task) for task in tasks] == [("busy", None)] * 5
    assert [admission.cancelled() for admission in held] == [None, None]


async def test_a_limit_lets_calls_go_when_their_time_comes_in_order():
    scene = Scene(slots=20)
    for _ in range(5):
        (await scene.enter(LIMITED)).succeeded(0.1, 100, None)
    tasks = [await scene.waiting(LIMITED, patience_s=10) for _ in range(3)]
    for expected in range(1, 4):
        await scene.time.pass_(1.08)
        assert [task.done() for task in tasks] == [index < expected for index in range(3)]
    # The limit is the model's, others of the provider pass by meanwhile.
    (await scene.enter(FAST, patience_s=0)).cancelled()


async def test_a_wait_that_is_known_to_be_too_long_is_refused_at_once():
    scene = Scene(slots=20)
    for _ in range(5):
        await scene.enter(LIMITED)
    await scene.waiting(LIMITED, patience_s=2)
    reason, until_s = await scene.refused(LIMITED, patience_s=2)
    assert reason == "rate_limited"
    assert 2 < until_s < 2.2
    await scene.enter(FAST, patience_s=0)


async def test_a_header_that_says_nothing_is_left_turns_away_who_can_not_wait_so_long():
    scene = Scene()
    first, second = await scene.enter(), await scene.enter()
    short, long = await scene.waiting(patience_s=1), await scene.waiting(patience_s=10)
    first.succeeded(0.1, 10, ProviderLimits(remaining_tokens=0, tokens_reset_s=1.5))
    await settle()
    assert await refusal(short) == ("rate_limited", 1.5)
    await scene.time.pass_(1.4)
    assert not long.done()
    await scene.time.pass_(0.1)
    assert long.done()
    second.cancelled()


async def test_unused_tokens_of_an_estimate_let_the_next_call_go():
    scene = Scene()
    first = await scene.enter(LIMITED, tokens=1000)
    assert (await scene.refused(LIMITED, tokens=1000))[0] == "rate_limited"
    waiting = await scene.waiting(LIMITED, tokens=1000, patience_s=30)
    first.succeeded(1.0, 10, None)
    await scene.time.pass_(0.1)
    assert waiting.done()
    waiting.result().failed(rate_limited(1), 0.1)
    await scene.time.pass_(1)
    (await scene.enter(LIMITED, tokens=1000)).cancelled()


async def test_a_breaker_that_opens_ends_the_waits_for_its_model_only():
    scene = Scene()
    first, second = await scene.enter(FAST), await scene.enter(OTHER)
    doomed, spared = await scene.waiting(FAST), await scene.waiting(OTHER)
    first.failed(rate_limited(7), 0.2)
    await settle()
    assert await refusal(doomed) == ("breaker_open", 7)
    assert spared.done()
    second.cancelled()
    assert await scene.refused(FAST) == ("breaker_open", 7)
    await scene.time.pass_(6.99)
    assert (await scene.refused(FAST))[0] == "breaker_open"


async def test_no_call_waits_for_a_breaker_however_soon_it_would_let_it_through():
    scene = Scene()
    await scene.break_(FAST, 0.5)
    assert await scene.refused(FAST, patience_s=60) == ("breaker_open", 0.5)


async def test_half_open_lets_the_probes_through_and_recovers():
    scene = Scene(slots=10)
    for _ in range(4):
        (await scene.enter()).failed(SERVER_ERROR, 0.1)
    assert scene.state(FAST.ref) is BreakerState.OPEN
    await scene.time.pass_(5)
    assert scene.state(FAST.ref) is BreakerState.HALF_OPEN
    probes = [await scene.enter(), await scene.enter()]
    assert await scene.refused() == ("breaker_open", None)
    probes[0].cancelled()
    third = await scene.enter()
    third.succeeded(9.0, 1, None)
    probes[1].failed(ProviderError(ErrorKind.CONTENT_POLICY, "no"), 1)
    assert scene.state(FAST.ref) is BreakerState.CLOSED
    assert [change.state for change in scene.changes] == ["open", "half_open", "closed"]
    opened = scene.changes[0]
    assert (opened.target, opened.calls, opened.failures, opened.slow) == ("a/fast", 4, 4, 0)
    assert (opened.since, opened.until) == (START, START + timedelta(seconds=5))
    assert scene.changes[2].since == START + timedelta(seconds=5)
    assert scene.changes[2].until is None


async def test_calls_count_as_slow_by_their_models_settings():
    scene = Scene(slots=10)
    for _ in range(4):
        (await scene.enter(FAST)).succeeded(8.0, 1, None)
    assert scene.changes[0].reason == "4 of 4 calls were slow"
    patient = FAST.model_copy(update={"model": "other", "slow_call_s": 9})
    for _ in range(4):
        (await scene.enter(patient)).succeeded(8.0, 1, None)
    assert len(scene.changes) == 1


async def test_only_the_first_end_of_an_admission_counts():
    scene = Scene()
    admission = await scene.enter()
    admission.succeeded(0.1, 5, None)
    admission.failed(rate_limited(9), 0.1)
    admission.cancelled()
    assert not scene.changes
    assert await scene.all_slots_are_free()
    visit = scene.gate.enter_tier(1)
    visit.cancelled()
    for _ in range(9):
        visit.failed()
    assert scene.state("tier:1") is BreakerState.CLOSED


async def test_an_exception_keeps_neither_slot_nor_probe():
    scene = Scene()
    admission = await scene.enter()
    with pytest.raises(ZeroDivisionError), admission:
        raise ZeroDivisionError
    assert await scene.all_slots_are_free()


async def test_orders_are_obeyed_and_end_waits():
    scene = Scene()
    held = [await scene.enter(), await scene.enter()]
    doomed = await scene.waiting(FAST)
    scene.gate.order("a/fast", "open")
    assert await refusal(doomed) == ("breaker_open", None)
    scene.gate.order("nobody/knows", "open")
    assert scene.gate.snapshot()[0].forced
    assert [(change.target, change.state, change.forced) for change in scene.changes] == [("a/fast", "open", True)]
    for admission in held:
        admission.cancelled()
    scene.gate.order("a/fast", "auto")
    assert await scene.all_slots_are_free()
    scene.gate.order("tier:2", "open")
    with pytest.raises(UnavailableError, match="tier:2 can't be called: breaker_open"):
        scene.gate.enter_tier(2)


async def test_a_tier_opens_when_its_visits_fail_and_closes_by_visits_that_succeed():
    scene = Scene()
    for _ in range(4):
        scene.gate.enter_tier(1).failed()
    with pytest.raises(UnavailableError) as caught:
        scene.gate.enter_tier(1)
    assert (caught.value.target, caught.value.until_s) == ("tier:1", 5)
    scene.gate.enter_tier(2).succeeded()
    await scene.time.pass_(5)
    for _ in range(2):
        scene.gate.enter_tier(1).succeeded()
    assert scene.state("tier:1") is BreakerState.CLOSED


async def test_a_tier_without_a_model_that_lets_calls_through_is_not_visited():
    scene = Scene()
    await scene.break_(FAST, 9)
    scene.gate.enter_tier(1).cancelled()
    await scene.break_(OTHER, 3)
    for _ in range(10):
        with pytest.raises(UnavailableError) as caught:
            scene.gate.enter_tier(1)
        assert (caught.value.target, caught.value.until_s) == ("tier:1", 3)
    await scene.time.pass_(3)
    scene.gate.enter_tier(1).succeeded()
    await scene.time.pass_(6)
    await scene.break_(FAST)
    await scene.break_(OTHER)
    scene.gate.order("tier:1", "closed")
    scene.gate.enter_tier(1).cancelled()


async def test_models_that_the_config_does_not_name_have_a_breaker_from_their_first_call_on():
    scene = Scene()
    unknown = ModelSettings(provider="b", model="new")
    assert "b/new" not in {shown.target for shown in scene.gate.snapshot()}
    await scene.break_(unknown, 10**9)
    shown = {shown.target: shown for shown in scene.gate.snapshot()}
    assert shown["b/new"].state is BreakerState.OPEN
    assert shown["b/new"].until is not None
    assert list(shown) == ["a/fast", "a/other", "a/limited", "b/big", "b/new", "tier:1", "tier:2"]


async def test_a_model_that_stands_twice_in_the_config_has_the_stricter_limit():
    scene = Scene()
    twice = LIMITED.model_copy(update={"provider": "b", "requests_per_minute": 1})
    scene.gate = Gate(
        Settings(
            providers={"b": {"protocol": "openai", "api_key_env": "B"}},
            tiers=(
                {"name": "one", "models": (twice,)},
                {"name": "two", "models": (twice.model_copy(update={"requests_per_minute": None}),)},
            ),
            validation={"judge": twice.model_copy(update={"requests_per_minute": 600}), "fallback": None},
            routing={"rules": ()},
        ),
        on_change=scene.changes.append,
        monotonic=scene.time.monotonic,
    )
    (await scene.enter(twice)).succeeded(0.1, 1, None)
    assert await scene.refused(twice.model_copy(update={"requests_per_minute": None})) == ("rate_limited", 60)


@pytest.mark.parametrize("free_first", [False, True])
async def test_a_call_cancelled_in_the_moment_of_its_turn_takes_nothing(free_first):
    scene = Scene()
    await scene.break_(FAST, 1)
    await scene.time.pass_(1)
    held = [await scene.enter(OTHER), await scene.enter(OTHER)]
    task = await scene.waiting(FAST)
    if free_first:
        held[0].cancelled()
        task.cancel()
    else:
        task.cancel()
        held[0].cancelled()
    with pytest.raises(asyncio.CancelledError):
        await task
    held[1].cancelled()
    # Both probes, and both slots.
    assert await scene.all_slots_are_free()


async def test_a_call_cancelled_in_the_moment_of_its_turn_uses_nothing_of_the_limits():
    scene = Scene()
    held = [await scene.enter(OTHER), await scene.enter(OTHER)]
    task = await scene.waiting(LIMITED, tokens=12_000)
    held[0].cancelled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (await scene.enter(LIMITED, tokens=12_000, patience_s=0)).cancelled()
    held[1].cancelled()


async def test_a_large_call_is_not_overtaken_by_small_ones_of_its_model():
    scene = Scene(slots=20)
    (await scene.enter(LIMITED, tokens=500)).succeeded(0.1, 500, None)
    large = await scene.waiting(LIMITED, tokens=900, patience_s=10)
    small = await scene.waiting(LIMITED, tokens=1, patience_s=10)
    await scene.time.pass_(2.1)
    assert not large.done()
    assert not small.done()
    await scene.time.pass_(0.1)
    assert large.done()
    assert small.done()


async def test_a_call_cancelled_in_the_moment_of_its_refusal_leaves_no_unread_exception():
    scene = Scene()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    held = [await scene.enter(), await scene.enter()]
    task = await scene.waiting()
    scene.gate.order(FAST.ref, "open")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    assert not complaints
    assert [admission.cancelled() for admission in held] == [None, None]


async def test_waits_in_real_time_without_a_clock_of_the_tests():
    scene = Scene()
    gate = Gate(scene.gate._settings, on_change=scene.changes.append)
    held = [await gate.enter(FAST, tokens=1, patience_s=1) for _ in range(2)]
    with pytest.raises(UnavailableError):
        await gate.enter(FAST, tokens=1, patience_s=0.01)
    assert [admission.cancelled() for admission in held] == [None, None]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "end", "end", "cancel", "time", "order"]),
        st.integers(0, 7),
        st.sampled_from([0.0, 0.3, 1.0, 2.0, 6.0]),
    ),
    max_size=60,
)


@dataclass
class Schedule:
    """Calls of three models with two slots, entered, ended and cancelled at any moment."""

    scene: Scene = field(default_factory=Scene)
    tasks: list["asyncio.Task[Admission]"] = field(default_factory=list)
    ended: set["asyncio.Task[Admission]"] = field(default_factory=set)
    models: tuple[ModelSettings, ...] = (FAST, OTHER, LIMITED)

    async def run(self, steps: list[tuple[str, int, float]]) -> None:
        for step, number, seconds in steps:
            await self.step(step, number, seconds)
            if number % 2:
                await settle()
            assert len(self.admitted()) <= self.scene.slots
        await settle()
        for task in self.tasks:
            while not task.done():
                self.end_all()
                await self.scene.time.pass_(10)
        self.end_all()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not self.scene.gate._queues["a"]._waiting
        for model in self.models:
            self.scene.gate.order(model.ref, "open")
            self.scene.gate.order(model.ref, "auto")
            await self.scene.time.pass_(10)
            assert await self.scene.all_slots_are_free(model)

    async def step(self, step: str, number: int, seconds: float) -> None:
        model = self.models[number % 3]
        match step:
            case "enter":
                entry = self.scene.enter(model, tokens=200 * number, patience_s=seconds)
                self.tasks.append(asyncio.create_task(entry))
            case "end" if ready := self.admitted():
                self.end(ready[number % len(ready)], number)
            case "cancel" if self.tasks:
                self.tasks[number % len(self.tasks)].cancel()
            case "time":
                await self.scene.time.pass_(seconds)
            case "order":
                self.scene.gate.order(model.ref, ("open", "closed", "auto")[number % 3])

    def admitted(self) -> list["asyncio.Task[Admission]"]:
        done = [task for task in self.tasks if task.done() and not task.cancelled() and task not in self.ended]
        return [task for task in done if task.exception() is None]

    def end(self, task: "asyncio.Task[Admission]", how: int) -> None:
        self.ended.add(task)
        admission = task.result()
        if how < 3:
            admission.succeeded(0.1, 40 * how, ProviderLimits(remaining_requests=how, requests_reset_s=1.5))
        elif how < 5:
            admission.failed(SERVER_ERROR, 0.1)
        elif how == 5:
            admission.failed(rate_limited(1), 0.1)
        else:
            admission.cancelled()

    def end_all(self) -> None:
        for task in self.admitted():
            self.end(task, 6)


@settings(max_examples=examples(80))
@given(STEPS)
def test_no_schedule_leaks_a_slot_or_leaves_a_call_waiting_for_ever(steps):
    asyncio.run(Schedule().run(steps))
