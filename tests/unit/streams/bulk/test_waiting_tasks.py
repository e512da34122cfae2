"""Which tasks leave together, and when."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.bulk_world import bulk_task
from support.in_memory import BASE, BASE_MS

from streams.bulk.waiting import Waiter, WaitingTasks, call_of
from streams.config.settings_bulk import BulkSettings
from topics.bulk import Member
from topics.tasks import Attempt

NO_LIMIT = 10**9


def waiter(
    offset: int, *, hours: float = 20, size: int = 10, since: float = 0, model: str = "a", stage: str = "infer:1"
):
    member = Member(offset=offset, request_id=f"r{offset}", n=0, asked_ms=BASE_MS)
    return Waiter(member, stage, "fast", model, size, BASE + timedelta(hours=hours), since)


def waiting(*waiters: Waiter, **settings: float) -> WaitingTasks:
    made = WaitingTasks(BulkSettings(**{"wait_s": 30, **settings}))
    for one in waiters:
        made.add(one)
    return made


def due(tasks: WaitingTasks, at: float = 0, max_bytes: int = NO_LIMIT) -> list[list[int]]:
    return [[one.member.offset for one in part] for part in tasks.due(at, max_bytes)]


def test_a_task_is_noted_with_what_has_to_be_known_of_it():
    attempt = Attempt(
        attempt_id="dca8c1d7-23d1-527e-839e-1b10e9936607",
        stage="infer:1",
        tier=1,
        provider="fast",
        model="a",
        why="w",
        outcome="busy",
        cost_usd=0,
        provider_ms=1,
    )
    bulk = bulk_task("r7", revision=2, attempts=(attempt,))
    noted = Waiter.of(bulk, 5, 100, 3.0)
    assert noted.member == Member(offset=5, request_id="r7", revision=2, n=1, asked_ms=BASE_MS)
    assert (noted.stage, noted.provider, noted.model, noted.size, noted.since) == ("infer:1", "fast", "a", 100, 3.0)
    assert noted.deadline == bulk.task.deadline
    assert noted.call == call_of(noted.member, "infer:1") == ("r7", 2, "infer:1", 1)


def test_the_first_of_them_waits_for_others():
    tasks = waiting(waiter(0, since=0), waiter(1, since=29))
    assert due(tasks, 29.9) == []
    assert due(tasks, 30) == [[0, 1]]


def test_as_many_as_may_be_leave_at_once_and_the_others_wait():
    tasks = waiting(*map(waiter, range(5)), max_size=2)
    assert due(tasks) == [[0, 1], [2, 3]]
    assert due(tasks, 30) == [[0, 1], [2, 3], [4]]


def test_no_more_bytes_leave_than_may_be_but_one_task_always_does():
    tasks = waiting(waiter(0, size=60), waiter(1, size=40), waiter(2, size=1), waiter(3, size=500), waiter(4))
    assert due(tasks, max_bytes=100) == [[0, 1], [2], [3]]
    assert due(tasks, 30, max_bytes=100) == [[0, 1], [2], [3], [4]]


def test_stages_models_and_orders_of_time_leave_apart():
    tasks = waiting(
        waiter(0),
        waiter(1, model="b"),
        waiter(2),
        waiter(3, stage="infer:2"),
        waiter(4, hours=1.9),
        waiter(5, hours=1.1),
    )
    assert due(tasks, 30) == [[0, 2], [1], [3], [4, 5]]


def test_they_wait_until_they_are_removed():
    first, second = waiter(3), waiter(4)
    tasks = waiting(first, second)
    assert due(tasks, 30) == due(tasks, 30) == [[3, 4]]
    tasks.remove([first])
    assert (due(tasks, 30), len(tasks), tasks.first_offset) == ([[4]], 1, 4)
    assert (tasks.has(first.call), tasks.has(second.call)) == (False, True)
    tasks.remove([second])
    assert (due(tasks, 30), len(tasks), list(tasks), tasks.first_offset) == ([], 0, [], None)


def test_the_first_offset_is_that_of_all_groups():
    assert waiting(waiter(3, model="b"), waiter(5), waiter(9, model="b")).first_offset == 3


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 48), st.integers(1, 120), st.floats(0, 60)), max_size=25),
    st.integers(1, 6),
    st.floats(0, 100),
)
def test_what_leaves_is_in_order_and_of_one_kind_and_all_does_in_time(made, max_size, at):
    ordered = sorted(made, key=lambda one: one[3])
    tasks = waiting(
        *(
            waiter(offset, model=model, hours=hours, size=size, since=since)
            for offset, (model, hours, size, since) in enumerate(ordered)
        ),
        max_size=max_size,
    )
    leaving = tasks.due(at, 200)
    for part in leaving:
        offsets = [one.member.offset for one in part]
        assert offsets == sorted(offsets)
        assert len({one.model for one in part}) == 1
        assert len(part) <= max_size
        assert sum(one.size for one in part) <= 200
        times = [max((one.deadline - BASE).total_seconds(), 900) for one in part]
        assert max(times) <= 2 * min(times)
    gone = {one.member.offset for part in leaving for one in part}
    assert len(gone) == sum(map(len, leaving))
    assert {offset for offset, one in enumerate(ordered) if at - one[3] >= 30} <= gone
    tasks.remove(one for part in leaving for one in part)
    assert {one.member.offset for one in tasks} == set(range(len(made))) - gone
    assert tasks.first_offset == min(set(range(len(made))) - gone, default=None)
