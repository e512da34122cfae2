"""What the dead-letters topic holds: letters, and the notes that tell what became of them.

The topic is append-only, so the notes on a letter stand behind it in its partition.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, Self

from streams.kafka.topic_reader import RawRecord
from topics.base import Record
from topics.codec import DecodeError, Headers, decode
from topics.events import DeadLetter, DeadLetterNote
from topics.registry import DEAD_LETTERS, TopicSpec

_LETTER_ID = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


class LetterId(NamedTuple):
    """Where a letter lies in the dead-letters topic; written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `partition:offset`.

        Raises:
            ValueError: It is something else.
        """
        match = _LETTER_ID.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not the id of a dead letter: write partition:offset, as the list shows it")
        return cls(int(match[1]), int(match[2]))


class LetterState(StrEnum):
    """What became of a letter."""

    OPEN = "open"
    RETRIED = "retried"
    PURGED = "purged"


@dataclass(slots=True)
class Entry:
    """A letter with the notes about it. In lists it is without its key, headers, value and traceback."""

    id: LetterId
    letter: DeadLetter
    notes: list[DeadLetterNote] = field(default_factory=list)

    @property
    def state(self) -> LetterState:
        """What became of it; purged is final."""
        actions = {note.action for note in self.notes}
        if "purged" in actions:
            return LetterState.PURGED
        return LetterState.RETRIED if actions else LetterState.OPEN


class Encoded(Protocol):
    """A record as it was written."""

    @property
    def headers(self) -> Headers:
        """Its headers."""

    @property
    def value(self) -> bytes | None:
        """Its bytes."""


class PartitionScan:
    """What a partition of the topic holds, taken in record by record."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.unreadable: list[int] = []

    def add(self, partition: int, record: RawRecord) -> None:
        """Take the next record of the partition."""
        match read(DEAD_LETTERS, record):
            case DeadLetter() as letter:
                brief = letter.model_copy(update={"key": None, "headers": (), "value": None, "traceback": None})
                self.entries[record.offset] = Entry(LetterId(partition, record.offset), brief)
            case DeadLetterNote(letter_offset=offset) as note:
                if offset in self.entries:
                    self.entries[offset].notes.append(note)
            case _:
                self.unreadable.append(record.offset)

    def end_of_purged(self) -> int | None:
        """Return the offset behind the last purged letter that has nothing open before it; None if there is none."""
        is_open = [offset for offset, entry in self.entries.items() if entry.state is LetterState.OPEN]
        # A letter of a newer version is none that this one could have shown to anybody.
        first_open = min([*is_open, *self.unreadable], default=None)
        purged = [
            offset
            for offset, entry in self.entries.items()
            if entry.state is LetterState.PURGED and (first_open is None or offset < first_open)
        ]
        return max(purged) + 1 if purged else None


def read(spec: TopicSpec[Record], record: "Encoded") -> Record | None:
    """Decode a record; None if it can't be read."""
    try:
        return decode(spec, record.value, record.headers).record
    except DecodeError:
        return None
