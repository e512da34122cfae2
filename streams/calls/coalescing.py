"""Identical requests share one call: which may, which call is in the air for them, and what each of them pays."""

import asyncio
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from streams.config.settings_sections import ModelSettings
from topics.journal import Rates, Usage
from topics.requests import DataClass, Message, Params
from topics.tasks import TierTask

M = TypeVar("M")
R = TypeVar("R")

_MAX_MEMBERS = 256


class _Identity(BaseModel):
    """All that decides what a call asks, of whom, and who may see the answer."""

    model_config = ConfigDict(frozen=True)

    scope: tuple[Literal["user", "feature"], str]
    data_class: DataClass
    tier: int
    provider: str
    model: str
    extra: dict[str, Any]
    max_tokens: int
    params: Params
    messages: tuple[Message, ...]
    response_schema: dict[str, JsonValue] | None


def share_key(task: TierTask, model: ModelSettings, shared_features: Collection[str]) -> bytes | None:
    """Name the call that a task needs: calls for an answer with the same name may be one call.

    Requests of a shared feature share whoever asks. All others share within one user and at temperature 0 only, where
    whoever asks twice expects the same answer twice. Data classes are never mixed.

    Returns:
        SHA-256 of the identity, 32 bytes; None if the call must not be shared.
    """
    request = task.request
    scope = _scope(task, shared_features)
    if scope is None or request.stream:
        return None
    identity = _Identity(
        scope=scope,
        data_class=request.context.data_class,
        tier=task.tier,
        provider=model.provider,
        model=model.model,
        extra=model.extra,
        max_tokens=request.params.max_tokens or model.max_tokens,
        params=request.params,
        messages=request.messages,
        response_schema=request.response_schema,
    )
    return hashlib.sha256(identity.model_dump_json().encode()).digest()


def _scope(task: TierTask, shared_features: Collection[str]) -> tuple[Literal["user", "feature"], str] | None:
    request = task.request
    if request.feature is not None and request.feature in shared_features:
        return "feature", request.feature
    # An empty id is what a careless producer sends for everybody whom it does not know.
    if request.user_id and request.params.temperature == 0:
        return "user", request.user_id
    return None


def split(usage: Usage, rates: Rates, n: int) -> list[tuple[Usage, Decimal]]:
    """Split the tokens and the cost of a call, in US dollars, into `n` parts that add up exactly.

    The tokens of each price (fresh, cached and cache-writing input, reasoning and other output) are split apart from
    each other, so that each part is a usage in its own right. A part's cost is `rates.cost` of it; cost is linear in
    tokens, so the costs add up to that of the whole. Parts differ by at most one token of each price, and by one token
    of input and of output in all.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError("a call is shared by at least one request")
    fresh_input = usage.input - usage.cached - usage.cache_written
    plain_output = usage.output - usage.reasoning
    fresh, cached, written, plain, reasoning = _spread(
        (fresh_input, usage.cached, usage.cache_written, plain_output, usage.reasoning), n
    )
    parts = [
        usage.model_copy(
            update={
                "input": fresh[i] + cached[i] + written[i],
                "cached": cached[i],
                "cache_written": written[i],
                "output": plain[i] + reasoning[i],
                "reasoning": reasoning[i],
            }
        )
        for i in range(n)
    ]
    return [(part, rates.cost(part)) for part in parts]


def _spread(totals: tuple[int, ...], n: int) -> list[list[int]]:
    """Split each total into n parts; the odd tokens of one total go on where those of the one before ended."""
    spread: list[list[int]] = []
    first = 0
    for total in totals:
        each, odd = divmod(total, n)
        parts = [each] * n
        for i in range(first, first + odd):
            parts[i % n] += 1
        first += odd
        spread.append(parts)
    return spread


class FlightCancelledError(Exception):
    """The leader gave up before the call had an outcome; whoever waited for it starts anew."""


@dataclass(frozen=True, slots=True)
class Share(Generic[R]):
    """What a member gets of the call: the `index`-th of `n` parts of the result. The leader's index is 0."""

    index: int
    n: int
    result: R


class Seat(Generic[M, R]):
    """A place in somebody else's flight. It is taken from the start, and counts from `confirm` on.

    Use it as a context manager: whoever ends the block before the flight is closed has left, and is not counted.
    """

    def __init__(self, leader: M, changed: Callable[[], None]) -> None:
        self.leader = leader
        self.member: M | None = None
        self.has_left = False
        self._changed = changed
        self._departed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._landed: asyncio.Future[Share[R]] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for future in (self._departed, self._landed):
            if not future.cancel() and not future.cancelled():
                # An exception that nobody waited for is not worth a line in the log.
                future.exception()
        self.has_left = True
        self._changed()

    async def departed(self) -> None:
        """Wait until the call has left: nothing should be journalled for one that may never do so.

        Raises:
            FlightCancelledError: It did not leave; start anew.
        """
        await self._departed

    def depart(self) -> None:
        """Tell the member that the call has left."""
        if not self._departed.done():
            self._departed.set_result(None)

    def confirm(self, member: M) -> None:
        """Count from now on; called once the broker has acknowledged the member's CallStarted."""
        self.member = member
        self._changed()

    async def landed(self) -> Share[R]:
        """Wait for the outcome.

        Raises:
            FlightCancelledError: There is none; start anew.
            Exception: What the leader failed with.
        """
        return await self._landed

    def land(self, share: Share[R]) -> None:
        """Give the member its share, if it still waits."""
        if not self._landed.done():
            self._landed.set_result(share)

    def fail(self, error: BaseException) -> None:
        """Tell the member that there is no outcome, if it still waits."""
        for future in (self._departed, self._landed):
            if not future.done():
                future.set_exception(error)


class Flight(Generic[M, R]):
    """One call, from before it leaves until its outcome is journalled for all who share it.

    Use it as a context manager: a leader that ends the block without an outcome cancels the flight.
    """

    def __init__(self, leader: M, ends_at: datetime, *, max_members: int, on_close: Callable[[], None]) -> None:
        self.ends_at = ends_at
        self._leader = leader
        self._max_members = max_members
        self._on_close = on_close
        self._seats: list[Seat[M, R]] = []
        self._changed = asyncio.Event()
        self._has_departed = False
        self._is_final = False
        self._has_landed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._has_landed:
            self.fail(FlightCancelledError())

    @property
    def has_room(self) -> bool:
        """Whether one more member may be seated."""
        return len(self._seats) + 1 < self._max_members

    def reserve(self) -> Seat[M, R]:
        """Seat a member; it has to confirm or to leave, the closing waits for that."""
        seat: Seat[M, R] = Seat(self._leader, self._note_change)
        self._seats.append(seat)
        if self._has_departed:
            seat.depart()
        return seat

    @property
    def has_departed(self) -> bool:
        """Whether the call has left."""
        return self._has_departed

    def depart(self) -> None:
        """Note that the call leaves; from now on members may journal their part in it."""
        self._has_departed = True
        for seat in self._seats:
            seat.depart()

    async def close(self) -> tuple[M, ...]:
        """Let nobody else join, wait until each seat is confirmed or left, and return who shares the call.

        The leader comes first, the others follow in the order in which they joined. The number is final: a member
        that leaves later has its share all the same.
        """
        self._on_close()
        while not self._is_final:
            self._changed.clear()
            self._is_final = all(seat.member is not None for seat in self._seats)
            if not self._is_final:
                await self._changed.wait()
        return (self._leader, *(seat.member for seat in self._seats if seat.member is not None))

    def finish(self, result: R) -> None:
        """Give each member its share of the result.

        Raises:
            RuntimeError: Before `close` has returned: how many share the call was not known then.
        """
        if not self._is_final:
            raise RuntimeError("a flight has to be closed before it lands")
        self._has_landed = True
        for index, seat in enumerate(self._seats, start=1):
            seat.land(Share(index, len(self._seats) + 1, result))

    def fail(self, error: BaseException) -> None:
        """Let nobody else join, and raise the error where members wait."""
        self._has_landed = True
        self._on_close()
        for seat in self._seats:
            seat.fail(error)

    def _note_change(self) -> None:
        if not self._is_final:
            self._seats = [seat for seat in self._seats if not seat.has_left]
        self._changed.set()


class FlightBook(Generic[M, R]):
    """The flights that can be joined, by the name of their call. Each has a leader that is at work.

    `M` is what the leader has to know of a member to journal its share, `R` what all learn of the outcome.

    Args:
        max_members: Most requests that share a call; the next one opens another flight.
    """

    def __init__(self, *, max_members: int = _MAX_MEMBERS) -> None:
        self._max_members = max_members
        self._flights: dict[bytes, Flight[M, R]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def join(self, key: bytes, deadline: datetime) -> Seat[M, R] | None:
        """Take a seat in the flight of that name, if there is one with room that ends by the deadline.

        Await nothing but the publish of CallStarted between taking the seat and confirming it: the leader may wait.
        Where there is no such flight, `open` one before anything is awaited, or others will do the same.
        """
        flight = self._flights.get(key)
        if flight is None or not flight.has_room or flight.ends_at > deadline:
            return None
        return flight.reserve()

    def open(self, key: bytes, leader: M, ends_at: datetime) -> Flight[M, R]:
        """Start a flight that others can join; one of the same name that is still open takes nobody else.

        Args:
            key: From `share_key`.
            leader: Who makes the call.
            ends_at: When the call will have ended, at the latest.
        """

        def take_off_the_book() -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        flight: Flight[M, R] = Flight(leader, ends_at, max_members=self._max_members, on_close=take_off_the_book)
        self._flights[key] = flight
        return flight
