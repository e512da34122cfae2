"""Keys of the door: who has one, where they come from, and how often they may ask."""

import asyncio
import stat
from contextlib import suppress

import pytest
from support.door_world import until

from streams.config.settings import SettingsError
from streams.config.settings_serve import ServeSettings
from tierstream.serve.keys import KeyEntry, KeyRing, append_key, follow_keys, hash_of, load_keys, new_key, read_keys
from tierstream.serve.rate_limits import TokenBucket
from tierstream.serve.surface import Caller, DoorError

KEY = "ts-a-key-that-nobody-would-guess"


def refused(ring, **headers):
    with pytest.raises(DoorError) as error:
        ring.identify(headers)
    return error.value.status


def is_let_in(ring, headers):
    with suppress(DoorError):
        return bool(ring.identify(headers))
    return False


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY},
        {"x-api-key": KEY, "authorization": "Bearer what-the-client-has-for-another"},
    ],
)
def test_a_key_is_known_wherever_the_vendors_put_it(headers):
    ring = KeyRing([KeyEntry(name="ann", sha256=hash_of(KEY), user="u", tags=("t",), max_tier=2)])
    assert ring.identify(headers) == Caller("ann", user_id="u", tags=("t",), max_tier=2)


def test_others_are_not_let_in():
    ring = KeyRing([KeyEntry(name="ann", sha256=hash_of(KEY))])
    assert refused(ring) == 401
    assert refused(ring, authorization=f"Basic {KEY}") == 401
    assert refused(ring, **{"x-api-key": KEY + "x"}) == 401
    assert refused(ring, **{"x-api-key": hash_of(KEY)}) == 401


def test_a_ring_that_has_lost_its_keys_lets_nobody_in():
    ring = KeyRing([KeyEntry(name="ann", sha256=hash_of(KEY))])
    ring.replace([])
    assert refused(ring, host="localhost", **{"x-api-key": KEY}) == 401


@pytest.mark.parametrize(
    ("host", "is_let_in"),
    [("127.0.0.1:8091", True), ("localhost", True), ("[::1]:80", True), ("", False), ("evil.example:8091", False)],
)
def test_without_keys_this_machine_alone_is_answered_to(host, is_let_in):
    if is_let_in:
        assert KeyRing().identify({"host": host}) == Caller()
    else:
        assert refused(KeyRing(), host=host) == 421


def test_what_is_left_of_a_limit_outlives_a_change_of_the_file():
    entry = KeyEntry(name="ann", sha256=hash_of(KEY), rpm=2)
    ring, headers = KeyRing([entry]), {"x-api-key": KEY}
    assert ring.admit(headers).allowance.remaining == 1
    ring.replace([entry])
    assert ring.admit(headers).allowance.remaining == 0
    assert ring.admit(headers).allowance.retry_after_s > 0


def test_a_bucket_fills_as_time_passes():
    now = 0.0
    bucket = TokenBucket(60, lambda: now)
    taken = [bucket.take() for _ in range(61)]
    assert [one.remaining for one in taken[:3]] == [59, 58, 57]
    assert taken[59].retry_after_s == 0
    assert taken[60].retry_after_s == pytest.approx(1.0)
    now = 1.0
    assert bucket.take().retry_after_s == 0
    now = 1000.0
    assert bucket.take().remaining == 59


def test_keys_come_from_the_file_and_the_environment(tmp_path):
    path = tmp_path / "keys.toml"
    made = new_key()
    entry = KeyEntry(name="ann", sha256=hash_of(made), user='u"\\', tags=("a", "b"), rpm=5, min_tier=2)
    append_key(path, entry)
    append_key(path, KeyEntry(name="bob", sha256=hash_of(new_key())))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made not in path.read_text()
    serve = ServeSettings(host="0.0.0.0", keys_file=path)
    entries = load_keys(serve, {"SERVE_KEYS": f"carl={KEY}, dora={KEY}!"})
    assert entries[0] == entry
    assert [one.name for one in entries] == ["ann", "bob", "carl", "dora"]
    with pytest.raises(SettingsError, match="there is a key of the name ann"):
        append_key(path, entry)
    with pytest.raises(SettingsError, match="there are two of the name bob"):
        load_keys(serve, {"SERVE_KEYS": f"bob={KEY}"})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[keys]]\nname = 'a'\nsha256 = 'ts-secret'\n", r"keys\.0\.sha256 is not as docs/door\.md says"),
        ("[[keys]\n", "not valid TOML"),
        (None, "can't be read"),
    ],
)
def test_a_file_that_is_no_file_of_keys_is_named(tmp_path, content, says):
    path = tmp_path / "keys.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=says) as error:
        read_keys(path)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("value", ["ann", "ann=short", f"a:b={KEY}", f"={KEY}"])
def test_a_variable_without_names_and_keys_is_refused_without_being_repeated(value):
    with pytest.raises(SettingsError, match="SERVE_KEYS") as error:
        load_keys(ServeSettings(), {"SERVE_KEYS": value})
    assert KEY not in str(error.value)


def test_others_may_reach_the_door_only_where_there_are_keys():
    with pytest.raises(SettingsError, match="can be reached from elsewhere"):
        load_keys(ServeSettings(host="0.0.0.0"), {})
    assert load_keys(ServeSettings(), {}) is None


async def test_a_file_that_changes_is_read_anew_and_a_broken_one_changes_nothing(tmp_path, caplog):
    path = tmp_path / "keys.toml"
    append_key(path, KeyEntry(name="ann", sha256=hash_of(KEY)))
    serve, headers = ServeSettings(keys_file=path), {"x-api-key": KEY}
    ring = KeyRing(load_keys(serve))
    following = asyncio.create_task(follow_keys(ring, serve, every_s=0.01))
    # It takes note of how the file is before anything changes.
    await asyncio.sleep(0)
    path.write_text("[[keys]")
    await until(lambda: "the keys stay as they were" in caplog.text)
    assert ring.identify(headers).name == "ann"
    path.write_text("")
    await until(lambda: not is_let_in(ring, headers))
    following.cancel()
