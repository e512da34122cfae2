"""Files and batches, as OpenAI has them: what there is of them, how far a batch is, and the content of both.

Content is large and is read by its place alone: the small records name the offsets. All records of a file or a batch
have its id as key, so its content is in the partition of the same number.

Source: https://platform.openai.com/docs/api-reference/batch
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Base64Bytes, Field, JsonValue

from topics.base import Identifier, Label, Record, Timestamp
from topics.requests import Request

Offset = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Line = Annotated[int, Field(ge=0)]
"""Which line of a batch, from 0."""

MOST_METADATA: Final = 16
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=MOST_METADATA)
]
"""What a client notes on a batch, within OpenAI's bounds."""


class _OfFile(Record):
    file_id: Identifier

    @property
    def partition_key(self) -> str:
        """The file's id."""
        return self.file_id


class File(_OfFile):
    """A file that is whole."""

    SCHEMA: ClassVar[str] = "file/1"

    owner: str
    """Name of the key that it was uploaded with; empty where no keys are wanted."""
    filename: Annotated[str, Field(max_length=256)]
    size: Count
    """Bytes."""
    offsets: tuple[Offset, ...]
    """Where its data is, in order."""
    created_at: Timestamp


class FileDeleted(_OfFile):
    """Says that a file is not shown any more. A batch that was made from it goes on."""

    SCHEMA: ClassVar[str] = "file-deleted/1"

    at: Timestamp


class FileData(_OfFile):
    """A piece of a file."""

    SCHEMA: ClassVar[str] = "file-data/1"

    seq: Count
    data: Base64Bytes


class _OfBatch(Record):
    batch_id: Identifier

    @property
    def partition_key(self) -> str:
        """The batch's id."""
        return self.batch_id


class Stretch(Record):
    """Some lines that stand together."""

    first: Line
    offset: Offset
    """Of their record."""


class BatchError(Record):
    """What is wrong with the file of a batch."""

    code: Label
    message: str
    line: Annotated[int, Field(ge=1)] | None = None
    """Which line it is, from 1."""
    param: str | None = None


class Batch(_OfBatch):
    """Lines that are to be answered within a day, in no order."""

    SCHEMA: ClassVar[str] = "batch/1"

    owner: str
    """Name of the key that it was made with; empty where no keys are wanted."""
    input_file_id: Identifier
    endpoint: Label
    """Address whose bodies the lines have, such as `/v1/chat/completions`."""
    metadata: Metadata = Field(default_factory=dict)
    request_prefix: Identifier
    """The ids of its requests are this, `-` and the line."""
    total: Count
    """How many lines there are."""
    refused: Count = 0
    """Those among them that are no request."""
    stretches: tuple[Stretch, ...]
    """Where the lines are, in order."""
    errors: tuple[BatchError, ...] = ()
    """What is wrong with its file. A batch with errors has failed, and has no lines."""
    created_at: Timestamp
    expires_at: Timestamp

    def request_id(self, line: int) -> str:
        """Return the id of the request that a line is."""
        return f"{self.request_prefix}-{line}"


class Refusal(Record):
    """Why a line is no request, as HTTP says it."""

    status: Annotated[int, Field(ge=400, le=599)]
    code: Label
    message: str
    param: str | None = None


class BatchLine(Record):
    """A line: the request that its body comes to, and what the answer has to repeat of it."""

    custom_id: str
    model: str = ""
    """As the body names it."""
    request: Request | None = None
    refusal: Refusal | None = None
    echo: dict[str, JsonValue] = Field(default_factory=dict)


class BatchLines(_OfBatch):
    """Lines of a batch, from `first` on."""

    SCHEMA: ClassVar[str] = "batch-lines/1"

    first: Line
    lines: tuple[BatchLine, ...]


class BatchAnswer(Record):
    """Where the result of a line is."""

    line: Line
    offset: Offset
    """In the results, in the partition of the request's id."""
    size: Count
    """Bytes of the result."""
    ok: bool
    """Whether there is an answer in it."""


class BatchAnswers(_OfBatch):
    """Results of a batch that came since the last record of this kind."""

    SCHEMA: ClassVar[str] = "batch-answers/1"

    answers: tuple[BatchAnswer, ...]


class BatchProgress(_OfBatch):
    """How far a batch is."""

    SCHEMA: ClassVar[str] = "batch-progress/1"

    sent: Count
    """No line from here on has been sent."""
    completed: Count
    failed: Count
    answers_at: tuple[Offset, ...] = ()
    """Where the answers are that it counts and the record before it does not."""
    results_read: tuple[Offset, ...]
    """Up to where the results have been read, by partition: those before are in answers by now."""


class BatchCancelled(_OfBatch):
    """Says that no further line of a batch is to be sent."""

    SCHEMA: ClassVar[str] = "batch-cancelled/1"

    at: Timestamp


class BatchStatus(StrEnum):
    """How a batch ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """Its file was not one of lines; none was sent."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class BatchEnded(_OfBatch):
    """The end of a batch; the first one counts. `completed` and `failed` are all of its lines."""

    SCHEMA: ClassVar[str] = "batch-ended/1"

    status: BatchStatus
    completed: Count
    failed: Count
    completed_bytes: Count = 0
    """Bytes of the results with an answer."""
    failed_bytes: Count = 0
    at: Timestamp
