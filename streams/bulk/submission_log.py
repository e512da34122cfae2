"""What is known of submissions: `llm.submissions`, folded. Who serves a partition reads that one, the CLI all."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streams.kafka.topic_reader import RawRecord
from topics.bulk import Member, Submission, SubmissionEnded, Submitted
from topics.codec import DecodeError, decode
from topics.registry import SUBMISSIONS


@dataclass(slots=True, eq=False)
class SubmissionState:
    """How far a submission is.

    Attributes:
        submission: What it is; without its members once it has ended.
        offsets: Of its tasks, in order.
        submitted: Under which id the provider has it; None: not yet, or nobody knows.
        ended: How it ended; None: it has not.
    """

    submission: Submission
    offsets: "array[int]"
    submitted: Submitted | None = None
    ended: SubmissionEnded | None = None

    @property
    def members(self) -> Sequence[Member]:
        """Its calls."""
        return self.submission.members

    def has(self, offset: int) -> bool:
        """Whether the task at an offset is in it."""
        at = bisect_left(self.offsets, offset)
        return at < len(self.offsets) and self.offsets[at] == offset

    def overlaps(self, offsets: Sequence[int]) -> bool:
        """Whether any of these tasks, in order, is in it."""
        if not offsets or offsets[-1] < self.offsets[0] or self.offsets[-1] < offsets[0]:
            return False
        return any(map(self.has, offsets))


class SubmissionLog:
    """The submissions of partitions, in the order in which they were written.

    A submission that names a task which an earlier one has counts for nothing: somebody who was the owner of the
    partition wrote it late. Everybody who reads the log comes to the same.
    """

    def __init__(self) -> None:
        self._states: dict[str, SubmissionState] = {}
        self._in_partition: dict[int, list[SubmissionState]] = {}

    def note(self, raw: RawRecord) -> None:
        """Take in a record; a value that is none is passed over."""
        try:
            record = decode(SUBMISSIONS, raw.value, raw.headers).record
        except DecodeError:
            return
        if isinstance(record, Submission):
            self.begin(record, raw.partition)
        else:
            self.add(record)

    def begin(self, submission: Submission, partition: int) -> SubmissionState | None:
        """Take in a submission; None where it counts for nothing."""
        if (known := self._states.get(submission.submission_id)) is not None:
            return known
        offsets = array("q", (member.offset for member in submission.members))
        others = self._in_partition.setdefault(partition, [])
        if any(other.overlaps(offsets) for other in others):
            return None
        state = SubmissionState(submission, offsets)
        self._states[submission.submission_id] = state
        others.append(state)
        return state

    def add(self, record: Submitted | SubmissionEnded) -> None:
        """Take in what became of a submission; the first word counts."""
        state = self._states.get(record.submission_id)
        match record:
            case _ if state is None:
                return
            case Submitted():
                state.submitted = state.submitted or record
            case SubmissionEnded():
                state.ended = state.ended or record
                # There may be a million of them, which nobody asks for any more.
                state.submission = state.submission.model_copy(update={"members": ()})

    def states(self) -> Iterator[SubmissionState]:
        """Yield all submissions, the oldest of each partition first."""
        return iter(self._states.values())

    def open(self) -> Iterator[SubmissionState]:
        """Yield the submissions that have not ended."""
        return (state for state in self._states.values() if state.ended is None)

    def has(self, partition: int, offset: int) -> bool:
        """Whether the task at an offset is in a submission."""
        states = self._in_partition.get(partition, ())
        return any(state.offsets[0] <= offset <= state.offsets[-1] and state.has(offset) for state in states)
