"""Identical requests share one call: which may, and which call is under way for them."""

import asyncio
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from streams.config.settings_sections import ModelSettings
from topics.messages import Message, ResponseFormat, Tool, ToolChoice
from topics.requests import DataClass, Params
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
    response_format: ResponseFormat | None
    tools: tuple[Tool, ...]
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None


def share_key(
    task: TierTask, model: ModelSettings, messages: tuple[Message, ...], shared_features: Collection[str]
) -> bytes | None:
    """Name the call that a task needs: calls for an answer with the same name may be one call.

    Requests of a shared feature share whoever asks. All others share within one user and at temperature 0 only, where
    whoever asks twice expects the same answer twice. Data classes are never mixed.

    Args:
        task: Whose call it is.
        model: That is asked.
        messages: What it is asked: those of the request, and perhaps a note on an earlier answer.
        shared_features: Features whose requests share whoever asks.

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
        messages=messages,
        response_schema=request.response_schema,
        response_format=request.response_format,
        tools=request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
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


class SharedCallCancelledError(Exception):
    """The leader gave up before the call had an outcome; whoever waited for it starts anew."""


@dataclass(frozen=True, slots=True)
class Share(Generic[R]):
    """What a member gets of the call: the `index`-th of `n` parts of the result. The leader's index is 0."""

    index: int
    n: int
    result: R


class Follower(Generic[M, R]):
    """A place in somebody else's call. It is taken from the start, and counts from `confirm` on.

    Use it as a context manager: whoever ends the block before the shared call is closed has left, and is not counted.
    """

    def __init__(self, leader: M, changed: Callable[[], None]) -> None:
        self.leader = leader
        self.member: M | None = None
        self.has_gone = False
        self._changed = changed
        self._sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finished: asyncio.Future[Share[R]] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for future in (self._sent, self._finished):
            if not future.cancel() and not future.cancelled():
                # An exception that nobody waited for is not worth a line in the log.
                future.exception()
        self.has_gone = True
        self._changed()

    async def until_sent(self) -> None:
        """Wait until the call has left: nothing should be journalled for one that may never do so.

        Raises:
            SharedCallCancelledError: It did not leave; start anew.
        """
        await self._sent

    def note_sent(self) -> None:
        """Tell the member that the call has left."""
        if not self._sent.done():
            self._sent.set_result(None)

    def confirm(self, member: M) -> None:
        """Count from now on; called once the broker has acknowledged the member's CallStarted."""
        self.member = member
        self._changed()

    async def share(self) -> Share[R]:
        """Wait for the outcome.

        Raises:
            SharedCallCancelledError: There is none; start anew.
            Exception: What the leader failed with.
        """
        return await self._finished

    def give(self, share: Share[R]) -> None:
        """Give the member its share, if it still waits."""
        if not self._finished.done():
            self._finished.set_result(share)

    def fail(self, error: BaseException) -> None:
        """Tell the member that there is no outcome, if it still waits."""
        for future in (self._sent, self._finished):
            if not future.done():
                future.set_exception(error)


class SharedCall(Generic[M, R]):
    """One call, from before it leaves until its outcome is journalled for all who share it.

    Use it as a context manager: a leader that ends the block without an outcome cancels the shared call.
    """

    def __init__(self, leader: M, ends_at: datetime, *, max_members: int, on_close: Callable[[], None]) -> None:
        self.ends_at = ends_at
        self._leader = leader
        self._max_members = max_members
        self._on_close = on_close
        self._followers: list[Follower[M, R]] = []
        self._changed = asyncio.Event()
        self._is_sent = False
        self._is_final = False
        self._has_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._has_finished:
            self.fail(SharedCallCancelledError())

    @property
    def has_room(self) -> bool:
        """Whether one more member may be taken in."""
        return len(self._followers) + 1 < self._max_members

    def take_in(self) -> Follower[M, R]:
        """Take a follower in; it has to confirm or to leave, the closing waits for that."""
        follower: Follower[M, R] = Follower(self._leader, self._note_change)
        self._followers.append(follower)
        if self._is_sent:
            follower.note_sent()
        return follower

    @property
    def is_sent(self) -> bool:
        """Whether the call has left."""
        return self._is_sent

    def note_sent(self) -> None:
        """Note that the call leaves; from now on members may journal their part in it."""
        self._is_sent = True
        for follower in self._followers:
            follower.note_sent()

    async def close(self) -> tuple[M, ...]:
        """Let nobody else join, wait until each follower is confirmed or left, and return who shares the call.

        The leader comes first, the others follow in the order in which they joined. The number is final: a member
        that leaves later has its share all the same.
        """
        self._on_close()
        while not self._is_final:
            self._changed.clear()
            self._is_final = all(follower.member is not None for follower in self._followers)
            if not self._is_final:
                await self._changed.wait()
        return (self._leader, *(follower.member for follower in self._followers if follower.member is not None))

    def finish(self, result: R) -> None:
        """Give each member its share of the result.

        Raises:
            RuntimeError: Before `close` has returned: how many share the call was not known then.
        """
        if not self._is_final:
            raise RuntimeError("a shared call has to be closed before it finishes")
        self._has_finished = True
        for index, follower in enumerate(self._followers, start=1):
            follower.give(Share(index, len(self._followers) + 1, result))

    def fail(self, error: BaseException) -> None:
        """Let nobody else join, and raise the error where members wait."""
        self._has_finished = True
        self._on_close()
        for follower in self._followers:
            follower.fail(error)

    def _note_change(self) -> None:
        if not self._is_final:
            self._followers = [follower for follower in self._followers if not follower.has_gone]
        self._changed.set()


class SharedCalls(Generic[M, R]):
    """The calls that can be joined, by the name of their call. Each has a leader that is at work.

    `M` is what the leader has to know of a member to journal its share, `R` what all learn of the outcome.

    Args:
        max_members: Most requests that share a call; the next one opens another.
    """

    def __init__(self, *, max_members: int = _MAX_MEMBERS) -> None:
        self._max_members = max_members
        self._shared: dict[bytes, SharedCall[M, R]] = {}

    def __len__(self) -> int:
        return len(self._shared)

    def join(self, key: bytes, deadline: datetime) -> Follower[M, R] | None:
        """Follow the call of that name, if there is one with room that ends by the deadline.

        Await nothing but the publish of CallStarted between taking the follower and confirming it: the leader may wait.
        Where there is no such call, `open` one before anything is awaited, or others will do the same.
        """
        shared = self._shared.get(key)
        if shared is None or not shared.has_room or shared.ends_at > deadline:
            return None
        return shared.take_in()

    def open(self, key: bytes, leader: M, ends_at: datetime) -> SharedCall[M, R]:
        """Start a call that others can join; one of the same name that is still open takes nobody else.

        Args:
            key: From `share_key`.
            leader: Who makes the call.
            ends_at: When the call will have ended, at the latest.
        """

        def take_off_the_book() -> None:
            if self._shared.get(key) is shared:
                del self._shared[key]

        shared: SharedCall[M, R] = SharedCall(
            leader, ends_at, max_members=self._max_members, on_close=take_off_the_book
        )
        self._shared[key] = shared
        return shared
