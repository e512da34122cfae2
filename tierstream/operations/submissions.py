"""Batches of providers as an operator sees them: what was submitted, under which id it is there, how it ended."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from streams.bulk.submission_log import SubmissionLog
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader, partitions_of
from topics.bulk import Submission, SubmissionEnded, Submitted
from topics.registry import SUBMISSIONS


@dataclass(frozen=True, slots=True)
class SubmissionReport:
    """A submission, and how far it is.

    Attributes:
        submission: What it is; once it has ended, without its members.
        calls: How many leave together.
        submitted: Under which id the provider has it; None: nobody has said so yet, or it came to an end before.
        ended: How it ended; None: it is under way.
    """

    submission: Submission
    calls: int
    submitted: Submitted | None
    ended: SubmissionEnded | None

    @property
    def model(self) -> str:
        """Who is to answer, as `provider/model`."""
        return f"{self.submission.provider}/{self.submission.model}"

    @property
    def state(self) -> str:
        """`submitting` until the provider's id is known, then `submitted`, in the end how it ended."""
        if self.ended is not None:
            return self.ended.status
        return "submitting" if self.submitted is None else "submitted"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **self.submission.model_dump(mode="json", exclude={"members"}),
            "calls": self.calls,
            "state": self.state,
            "submitted": _told(self.submitted),
            "ended": _told(self.ended),
        }


def _told(record: Submitted | SubmissionEnded | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json", exclude={"submission_id"})


def submission_reports(log: SubmissionLog, *, with_ended: bool) -> list[SubmissionReport]:
    """List the submissions that are under way, the oldest first; with those that have ended where they are wanted."""
    states = log.states() if with_ended else log.open()
    reports = [SubmissionReport(state.submission, len(state.offsets), state.submitted, state.ended) for state in states]
    return sorted(reports, key=lambda report: (report.submission.at, report.submission.submission_id))


async def read_submissions(settings: Settings) -> SubmissionLog:
    """Read what is known of submissions: of those that have ended, for as long as the topic keeps records.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
    """
    reader, log = TopicReader(settings.kafka), SubmissionLog()

    async def read(tp: TopicPartition) -> None:
        async for record in reader.read(tp):
            log.note(record)

    await asyncio.gather(*map(read, partitions_of(SUBMISSIONS, settings.kafka)))
    return log
