"""The provider's own record of the calls it served: what a bill is checked against."""

import asyncio
import hashlib
import json
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from tierstream.simulator.chat import Usage


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class ServedCall:
    """One call that reached the server; its texts are not kept.

    Attributes:
        call_id: The client's `X-Client-Request-Id`; of a call in a batch its `custom_id`.
        status: The HTTP status, or "hang", "cut", "dropped" or "client_closed" where no whole response went out.
        usage: What the client was told. Input includes cached tokens and output includes reasoning tokens
            in every protocol. None where the response names no usage or was not completed.
        fault: The injected fault, so that a malformed 200 can be told from a good one.
        retry_after_s: The seconds that a refused client was told to wait, from `ended_at` on.
        started_at: When the request was read, ISO 8601 in UTC.
        ended_at: When the last part of the response was ready to send.
        prompt_sha256: Of the last user message as it was sent.
        batch: The id of the batch that the call came in; None where it came alone.
    """

    provider: str
    call_id: str | None
    started_at: str
    model: str | None = None
    status: int | str | None = None
    usage: Usage | None = None
    stream: bool = False
    fault: str | None = None
    retry_after_s: float | None = None
    ended_at: str | None = None
    prompt_sha256: str | None = None
    batch: str | None = None

    def identify(self, *, model: str, prompt: str, stream: bool) -> None:
        """Note what was asked for."""
        self.model = model
        self.stream = stream
        self.prompt_sha256 = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """The record as it is written."""
        return asdict(self)


class UsageLog:
    """Served calls in a bounded memory and, where there is a path, in a JSONL file.

    The file is unbuffered and takes one write a line, so that it keeps all that was served when the
    process is killed. A call is recorded before the last byte of its response is sent: a client that
    has the whole response finds its record.
    """

    def __init__(self, path: Path | None, keep: int) -> None:
        self._file: BinaryIO | None = path.open("ab", buffering=0) if path else None
        self._recent: deque[ServedCall] = deque(maxlen=keep)
        self._ended = asyncio.Event()
        self.total = 0

    def start(self, provider: str, call_id: str | None, batch: str | None = None) -> ServedCall:
        """Open the record of a call; nothing is written before it ends."""
        return ServedCall(provider=provider, call_id=call_id, started_at=_now(), batch=batch)

    def end(self, call: ServedCall, status: int | str, usage: Usage | None = None) -> None:
        """Write the record, once; what happens to the connection afterwards does not change it."""
        if call.ended_at is not None:
            return
        call.status = status
        call.usage = usage
        call.ended_at = _now()
        self._recent.append(call)
        self.total += 1
        self._ended.set()
        self._ended.clear()
        if self._file is not None:
            self._file.write(json.dumps(call.to_dict()).encode() + b"\n")

    def since(self, index: int) -> list[tuple[int, ServedCall]]:
        """The calls in memory from a running index (0 is the first ever served) on."""
        first = self.total - len(self._recent)
        return [(first + offset, call) for offset, call in enumerate(self._recent) if first + offset >= index]

    async def reached(self, total: int) -> None:
        """Wait until that many calls have ended; a client's leaving is only seen some time after it left."""
        while self.total < total:
            await self._ended.wait()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
