"""Sessions of the embedded ClickHouse: requests that share temporary tables and settings, by `session_id`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from tierstream.stack.clickhouse_protocol import ClickHouseError, Session

MAX_SESSIONS: Final = 256
"""Each keeps a connection open, and its temporary tables in memory."""


class _Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


@dataclass(slots=True)
class _Open(Generic[C]):
    connection: C
    in_use: bool = True
    expires: float = 0.0


class Sessions(Generic[C]):
    """The open sessions, each with a connection of its own. One request at a time may use a session.

    Args:
        connect: Opens a connection.
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, connect: Callable[[], C], clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._open: dict[str, _Open[C]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, session: Session) -> Iterator[C]:
        """Hold the connection of a session, which is opened where there is none.

        Raises:
            ClickHouseError: Another request holds it (373), it has to be there and is not (372), or there are too
                many (202).
        """
        with self._lock:
            held = self._hold(session)
        try:
            yield held.connection
        finally:
            with self._lock:
                held.in_use = False
                held.expires = self._clock() + session.timeout_s
                if session.closes:
                    del self._open[session.session_id]
            if session.closes:
                held.connection.close()

    def close_expired(self) -> None:
        """Close what nobody has used for as long as its last request allowed."""
        with self._lock:
            now = self._clock()
            expired = [key for key, held in self._open.items() if not held.in_use and held.expires <= now]
            closing = [self._open.pop(key) for key in expired]
        for held in closing:
            held.connection.close()

    def close(self) -> None:
        """Close them all; no request may hold one."""
        for held in self._open.values():
            held.connection.close()
        self._open.clear()

    def _hold(self, session: Session) -> _Open[C]:
        held = self._open.get(session.session_id)
        if held is None:
            if session.must_exist:
                raise ClickHouseError.of(372, "SESSION_NOT_FOUND", f"Session {session.session_id} not found")
            if len(self._open) >= MAX_SESSIONS:
                raise ClickHouseError.of(
                    202,
                    "TOO_MANY_SIMULTANEOUS_QUERIES",
                    f"{MAX_SESSIONS} sessions are open: end them with close_session=1, or give them a shorter "
                    "session_timeout",
                )
            held = self._open[session.session_id] = _Open(self._connect())
        elif held.in_use:
            raise ClickHouseError.of(
                373, "SESSION_IS_LOCKED", f"Session {session.session_id} is locked by a concurrent client"
            )
        held.in_use = True
        return held
