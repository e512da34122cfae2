"""What is known of submissions: everybody who reads the log comes to the same, and a task is submitted once."""

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.bulk_world import HOME
from support.in_memory import BASE, BASE_MS, Stored

from streams.bulk.submission_log import SubmissionLog
from topics.base import Record
from topics.bulk import Member, Submission, SubmissionEnded, Submitted
from topics.codec import encode


def submission(name: str, *offsets: int) -> Submission:
    members = tuple(Member(offset=offset, request_id=f"r{offset}", n=0, asked_ms=BASE_MS) for offset in offsets)
    times = {"at": BASE, "gives_up_at": BASE + timedelta(hours=1)}
    return Submission(submission_id=name, stage="infer:1", provider="fast", model="a", members=members, **times)


def submitted(name: str, batch_id: str = "batch_0", **fields: bool) -> Submitted:
    return Submitted(submission_id=name, batch_id=batch_id, at=BASE, **fields)


def ended(name: str, status: str = "collected", answered: int = 1) -> SubmissionEnded:
    return SubmissionEnded(submission_id=name, status=status, answered=answered, at=BASE)


def log_of(*records: Record, partition: int = HOME) -> SubmissionLog:
    made = SubmissionLog()
    for offset, record in enumerate(records):
        encoded = encode(record)
        made.note(Stored(offset, BASE_MS, encoded.key, encoded.value, tuple(encoded.headers), partition))
    return made


def names(log: SubmissionLog) -> list[str]:
    return [state.submission.submission_id for state in log.states()]


def test_it_knows_whose_task_is_where():
    log = log_of(submission("a", 1, 3, 7), submission("b", 2, 4))
    assert [offset for offset in range(10) if log.has(HOME, offset)] == [1, 2, 3, 4, 7]
    assert not log.has(HOME + 1, 3)


def test_what_names_the_task_of_an_earlier_one_counts_for_nothing():
    log = log_of(submission("a", 1, 5), submission("b", 5, 9), submission("c", 9))
    assert names(log) == ["a", "c"]
    assert log.has(HOME, 9)


def test_what_is_said_of_one_that_counts_for_nothing_is_passed_over():
    log = log_of(submission("a", 1), submission("b", 1), submitted("b"), ended("b"), submitted("c"))
    [state] = log.states()
    assert (state.submitted, state.ended) == (None, None)


def test_the_same_offset_of_another_partition_is_another_task():
    log = log_of(submission("a", 1))
    assert log.begin(submission("b", 1), HOME + 1) is not None
    assert names(log) == ["a", "b"]


def test_a_submission_that_is_written_twice_is_one():
    log = log_of(submission("a", 1), submitted("a"), submission("a", 1))
    [state] = log.states()
    assert state.submitted == submitted("a")


def test_the_first_word_counts():
    log = log_of(
        submission("a", 1),
        submitted("a", "batch_0"),
        submitted("a", "batch_1", found=True),
        ended("a", "collected", 1),
        ended("a", "lost", 0),
    )
    [state] = log.states()
    assert (state.submitted, state.ended) == (submitted("a", "batch_0"), ended("a", "collected", 1))


def test_members_are_forgotten_at_the_end_and_their_tasks_are_not():
    log = log_of(submission("a", 1, 3), submission("b", 2), ended("a"), submission("c", 3))
    assert [len(state.members) for state in log.states()] == [0, 1]
    assert (log.has(HOME, 3), log.has(HOME, 2)) == (True, True)
    assert [state.submission.submission_id for state in log.open()] == ["b"]


def test_a_value_that_is_no_record_is_passed_over():
    log = log_of(submission("a", 1))
    log.note(Stored(1, BASE_MS, b"k", b"no record", (), HOME))
    assert names(log) == ["a"]


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """What two owners write of the tasks of a partition, in any order."""
    records: list[Record] = []
    for owner in "ab":
        for number in range(draw(st.integers(0, 3))):
            name = f"{owner}{number}"
            offsets = draw(st.sets(st.integers(0, 9), min_size=1, max_size=4))
            word = st.sampled_from([submitted(name, owner), ended(name), ended(name, "lost", 0)])
            records += [submission(name, *sorted(offsets)), *draw(st.lists(word, max_size=3))]
    return draw(st.permutations(records))


@given(histories(), st.integers(0, 9))
def test_whoever_writes_when_a_task_is_in_one_submission_at_most(history, at):
    log = log_of(*history)
    states = list(log.states())
    counted = Counter(offset for state in states for offset in state.offsets)
    assert all(times == 1 for times in counted.values())
    assert {offset for offset in range(10) if log.has(HOME, offset)} == set(counted)
    # A task is in none only where nobody has written a submission of it alone with tasks that are in none.
    for record in history:
        if isinstance(record, Submission):
            assert any(log.has(HOME, member.offset) for member in record.members)
    assert at in counted or not any(
        isinstance(r, Submission) and [m.offset for m in r.members] == [at] for r in history
    )


@given(histories(), st.data())
def test_who_reads_in_steps_comes_to_the_same(history, data):
    whole, steps = log_of(*history), SubmissionLog()
    cut = data.draw(st.integers(0, len(history)))
    for part in (history[:cut], history[cut:]):
        for record in part:
            encoded = encode(record)
            steps.note(Stored(0, BASE_MS, encoded.key, encoded.value, tuple(encoded.headers), HOME))
            list(steps.open())

    def known(log: SubmissionLog) -> list[tuple]:
        return [(s.submission, list(s.offsets), s.submitted, s.ended) for s in log.states()]

    assert known(whole) == known(steps)
