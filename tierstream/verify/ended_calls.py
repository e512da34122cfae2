"""The ended calls of one partition by request: digests instead of texts, so that a million of them fit. Pure."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from tierstream.verify.identity import Window
from topics.journal import CallEnded, Purpose
from topics.results import Result

_PICO: Final = 10**12
_SAID_BYTES: Final = 16
_GIVER_BYTES: Final = 8
_SLACK_MS: Final = 5_000
"""How far the clocks of brokers may be apart."""


def pico_usd(cost: Decimal) -> int:
    """Return the cost in millionths of a millionth of a dollar: an exact sum, whatever its size."""
    return int(cost.scaleb(12))


def usd(pico: int) -> Decimal:
    """Return what `pico_usd` made of a cost, or a sum of such, in dollars."""
    return Decimal(pico) / _PICO


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without its text."""

    said: bytes
    """Digest of its text, calls and thinking."""
    giver: bytes
    """Digest of who gave it, and of the usage."""
    is_blank: bool

    @classmethod
    def of(cls, record: CallEnded | Result) -> "Answer":
        """Take it from a record that has a content."""
        said = record.content or ""
        if record.tool_calls or record.parts is not None:
            said = repr((said, record.tool_calls, record.parts))
        usage = record.usage
        tokens = usage and (usage.source, usage.input, usage.output, usage.cached, usage.cache_written, usage.reasoning)
        who = (record.tier, record.provider, record.model, record.finish_reason, tokens)
        return cls(
            hashlib.blake2b(said.encode(), digest_size=_SAID_BYTES).digest(),
            hashlib.blake2b(repr(who).encode(), digest_size=_GIVER_BYTES).digest(),
            not (record.content or "").strip() and not record.tool_calls,
        )


@dataclass(slots=True)
class EndedCall:
    """One end of one call, for one of the requests that share it."""

    call_id: bytes
    attempt: bytes
    ref: str
    asked_ms: int | None
    """Append time of the request copy that it was made for; None in records that are older than the field."""
    started_ms: int | None
    """Append time of its start; None where that was not seen."""
    at_ms: int
    cost_pico: int
    has_left: bool
    is_paid: bool
    """Whether it cost something or was answered; a model may be free of charge."""
    answer: Answer | None
    """Of a call that was made to answer the request, and did."""
    judged: bool
    is_shadow: bool = False
    """Whether it was made for a comparison: no result has it in its route."""
    is_routed: bool = False
    """Whether a result has it in its route."""

    @property
    def moment_ms(self) -> int:
        """By which it is told which use of the id it belongs to."""
        return self.at_ms if self.asked_ms is None else self.asked_ms

    @property
    def name(self) -> str:
        """The call's id."""
        return str(UUID(bytes=self.call_id))


class EndedCalls:
    """Remembers the ends of a partition, by request."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._by_request: dict[bytes, list[EndedCall]] = {}

    def add(
        self, request: bytes, call: CallEnded, *, at_ms: int, started_ms: int | None, has_left: bool, judged: bool
    ) -> None:
        """Remember an end."""
        answers = call.error is None and call.purpose is Purpose.INFER
        ended = EndedCall(
            call_id=call.call_id.bytes,
            attempt=call.attempt_id.bytes,
            ref=sys.intern(f"{call.provider}/{call.model}"),
            asked_ms=call.asked_ms,
            started_ms=started_ms,
            at_ms=at_ms,
            cost_pico=pico_usd(call.cost_usd),
            has_left=has_left,
            is_paid=bool(call.cost_usd) or call.error is None,
            answer=Answer.of(call) if answers else None,
            judged=judged,
            is_shadow=call.purpose is Purpose.SHADOW,
        )
        self._by_request.setdefault(request, []).append(ended)

    def of_attempt(self, request: bytes, attempt: UUID, moment_ms: int) -> list[EndedCall]:
        """Return the ends of an attempt within the use of the request's id that a moment belongs to."""
        return [
            ended
            for ended in self._by_request.get(request, ())
            if ended.attempt == attempt.bytes and self._window.joins(ended.moment_ms, moment_ms)
        ]

    def of_copy(self, request: bytes, appended_ms: int) -> Iterator[EndedCall]:
        """Yield the ends that belong to the use of the id in which a copy of the request was appended.

        Where it is not recorded for which copy a call was made, it has to lie behind this one: else it may be of an
        earlier use.
        """
        for ended in self._by_request.get(request, ()):
            is_behind = ended.asked_ms is not None or ended.at_ms >= appended_ms - _SLACK_MS
            if is_behind and self._window.joins(ended.moment_ms, appended_ms):
                yield ended
