"""How long sessions of the embedded ClickHouse live, and who may use them."""

import pytest

from tierstream.stack.clickhouse_protocol import ClickHouseError, Session
from tierstream.stack.clickhouse_sessions import MAX_SESSIONS, Sessions


class Connection:
    closed = False

    def close(self):
        self.closed = True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def session(name="s", *, timeout_s=60, must_exist=False, closes=False):
    return Session(name, timeout_s, must_exist, closes)


def test_a_session_lives_until_its_timeout_after_its_last_use():
    clock = Clock()
    sessions = Sessions(Connection, clock)
    with sessions.use(session()) as first:
        clock.now = 1000
        sessions.close_expired()
        assert not first.closed
        with pytest.raises(ClickHouseError, match="373"), sessions.use(session()):
            pass
    clock.now += 59
    sessions.close_expired()
    with sessions.use(session(timeout_s=5, must_exist=True)) as again:
        assert again is first
    clock.now += 5
    sessions.close_expired()
    assert first.closed
    with pytest.raises(ClickHouseError, match="372"), sessions.use(session(must_exist=True)):
        pass
    with sessions.use(session()) as second:
        assert second is not first


def test_a_session_ends_when_it_is_told_to():
    sessions = Sessions(Connection, Clock())
    with pytest.raises(KeyError), sessions.use(session(closes=True)) as connection:
        raise KeyError
    assert connection.closed
    with pytest.raises(ClickHouseError, match="372"), sessions.use(session(must_exist=True)):
        pass
    with sessions.use(session()) as left:
        pass
    sessions.close()
    assert left.closed


def test_sessions_are_bounded():
    sessions = Sessions(Connection, Clock())
    for number in range(MAX_SESSIONS):
        with sessions.use(session(str(number))):
            pass
    with pytest.raises(ClickHouseError, match="close_session=1"), sessions.use(session("one more")):
        pass
    with sessions.use(session("0")):
        pass
