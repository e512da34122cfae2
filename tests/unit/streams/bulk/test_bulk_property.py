"""Whatever happens in whatever order: each call is submitted once, and each task goes on."""

import asyncio
import contextlib
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bulk_world import BulkWorld, bulk_task, come_to_rest, request_ids
from support.examples import examples
from support.fake_batches import HOUR, Arrives
from support.in_memory import provider_error

from streams.kafka.publisher import DeliveryError
from streams.providers.base import ErrorKind
from streams.providers.batches import UndecidedError

NAMES = request_ids(6)
DOUBT_S = 60
CUT, BUSY = provider_error(ErrorKind.CUT), provider_error(ErrorKind.OVERLOADED, status=429)
SUBMITTING = st.one_of(
    st.sampled_from([CUT, BUSY, provider_error(ErrorKind.CONNECTION)]),
    st.builds(Arrives, st.just(CUT), st.floats(0, DOUBT_S - 1)),
)
ASKING = st.sampled_from([provider_error(ErrorKind.SERVER_ERROR), BUSY])
STEPS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([0.0, 10.0, 40.0, 600.0, HOUR])),
    st.tuples(st.just("die"), st.integers(0, 12)),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("cancel"), st.sampled_from(NAMES)),
    st.tuples(st.just("lie"), SUBMITTING),
    st.tuples(st.just("trouble"), ASKING),
    st.tuples(st.just("doubt"), st.just(UndecidedError("some are open"))),
)


async def survive(world: BulkWorld, seconds: float) -> None:
    """Have time pass, and a new process come up where one dies."""
    try:
        await world.serve(seconds)
    except DeliveryError:
        await revive(world)


async def revive(world: BulkWorld) -> None:
    with contextlib.suppress(DeliveryError):
        await world.restart()
        await world.look()


async def take(step: tuple, world: BulkWorld) -> None:
    match step:
        case ("pass", float(seconds)):
            await survive(world, seconds)
        case ("die", int(records)):
            world.process.writer.left = records
        case ("restart", None):
            await revive(world)
        case ("cancel", str(name)):
            await world.cancel(name)
        case ("lie", told):
            world.batches.told.append(told)
        case ("trouble", trouble):
            world.batches.troubles.append(trouble)
        case ("doubt", doubt):
            world.batches.doubts.append(doubt)


async def live_through(
    arrivals: list[int], steps: list[tuple], *, knows_ids_only: bool, cant_express: bool
) -> BulkWorld:
    world = BulkWorld(poll_s=30, doubt_s=DOUBT_S, max_size=3)
    world.batches.knows_ids_only = knows_ids_only
    if cant_express:
        world.batches.cant_express = lambda call: "tools" in call.prompt.messages[0].text
    await world.start()
    for index, step in enumerate([*steps, ("pass", 0.0)]):
        for number in (number for number, at in enumerate(arrivals) if at == min(index, len(steps))):
            text = "with tools" if number % 2 else "without"
            world.put(bulk_task(NAMES[number], request={"text": text}))
        await take(step, world)
    world.batches.told.clear()
    world.batches.troubles.clear()
    world.batches.doubts.clear()
    for _ in range(4):
        await survive(world, 2 * HOUR)
        await come_to_rest()
    await world.process.partition.leave()
    return world


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=len(NAMES)),
    st.lists(STEPS, max_size=8),
    st.booleans(),
    st.booleans(),
)
def test_each_call_is_submitted_once_and_each_task_goes_on(arrivals, steps, knows_ids_only, cant_express):
    arrivals = [min(at, len(steps)) for at in arrivals]
    world = asyncio.run(live_through(arrivals, steps, knows_ids_only=knows_ids_only, cant_express=cant_express))
    names = set(NAMES[: len(arrivals)])
    submitted = Counter(custom_id for batch in world.batches.taken for custom_id in batch.custom_ids)
    assert all(times == 1 for times in submitted.values())
    assert {task.request.request_id for task in world.returned} == names
    ends = Counter(call.request_id for call in world.ended)
    assert all(times == 1 for times in ends.values())
    assert {call.request_id for call in world.started} == set(ends)
    assert {end.submission_id for end in world.ends} == {one.submission_id for one in world.submissions}
    assert "lost" not in {end.status for end in world.ends}
    assert world.committed == len(arrivals)
