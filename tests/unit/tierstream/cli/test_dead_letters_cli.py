"""Dead letters without a broker: ids, revisions, what may be deleted, and how a letter looks."""

import base64
from types import SimpleNamespace

import pytest
from support.in_memory import BASE
from typer.testing import CliRunner

from tierstream.cli import app
from tierstream.cli.moments import parse_moment
from tierstream.cli.render.dead_letters import bytes_as_json, description, table
from tierstream.operations.dead_letter_log import Entry, LetterId, LetterState, PartitionScan
from topics.codec import DecodeError, encode
from topics.dead_letters import LETTER_HEADER, RETRIES_HEADER, REVISION_HEADER, dead_letter, revision_of
from topics.events import DeadLetterNote

SENT_AGAIN = (LETTER_HEADER, b"0:1")


def letter_of(value=b"{}", *, key=b"k", headers=(), message="broken", traceback=None):
    record = SimpleNamespace(offset=5, timestamp=6, key=key, value=value, headers=headers)
    error = DecodeError("invalid", message, "r1")
    return dead_letter("classify", error, record, topic="llm.requests", partition=2, at=BASE, traceback=traceback)


def note(offset, action):
    return DeadLetterNote(
        letter_partition=0, letter_offset=offset, letter_key="r1", action=action, at=BASE, by="ann", revision=1
    )


def scan(*contents):
    found = PartitionScan()
    for offset, content in enumerate(contents):
        record = SimpleNamespace(offset=offset, value=b"?", headers=())
        if content is not None:
            encoded = encode(content)
            record = SimpleNamespace(offset=offset, value=encoded.value, headers=encoded.headers)
        found.add(0, record)
    return found


def shown(letter):
    return "\n".join(description(Entry(LetterId(0, 7), letter)))


def test_an_id_is_written_as_it_is_read():
    assert LetterId.parse("3:17") == (3, 17)
    assert str(LetterId(3, 17)) == "3:17"


@pytest.mark.parametrize("text", ["", "3", "3:", ":17", "a:b", "-1:2", "1:2:3", "1:²", "1:2\n", f"1:{'9' * 30}"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="partition:offset"):
        LetterId.parse(text)


@pytest.mark.parametrize(
    ("headers", "revision"),
    [
        ((), 0),
        (((REVISION_HEADER, b"3"),), 0),
        ((SENT_AGAIN,), 0),
        ((SENT_AGAIN, (REVISION_HEADER, b"3")), 3),
        ((SENT_AGAIN, (REVISION_HEADER, b"-3")), 0),
        ((SENT_AGAIN, (REVISION_HEADER, b"9" * 5000)), 0),
    ],
)
def test_only_a_retry_picks_a_revision(headers, revision):
    assert revision_of(headers) == revision


def test_a_producer_can_not_break_the_count_of_retries():
    assert letter_of(headers=((RETRIES_HEADER, b"9" * 5000),)).retries == 0


@pytest.mark.parametrize(
    ("contents", "end"),
    [
        ([letter_of()], None),
        ([letter_of(), note(0, "retried")], None),
        ([letter_of(), note(0, "purged")], 1),
        ([letter_of(), letter_of(), note(1, "purged")], None),
        ([letter_of(), letter_of(), note(1, "purged"), note(0, "retried")], 2),
        ([letter_of(), letter_of(), note(0, "purged")], 1),
        ([letter_of(), letter_of(), note(0, "purged"), note(1, "retried")], 1),
        ([None, letter_of(), note(1, "purged")], None),
        ([note(99, "purged")], None),
    ],
)
def test_only_what_has_nothing_open_before_it_is_deleted(contents, end):
    assert scan(*contents).end_of_purged() == end


def test_purged_is_final():
    entry = scan(letter_of(), note(0, "purged"), note(0, "retried")).entries[0]
    assert entry.state is LetterState.PURGED


def test_a_list_does_not_hold_the_bytes():
    [entry] = scan(letter_of(b"x" * 1000, traceback="trace")).entries.values()
    assert (entry.letter.value, entry.letter.key, entry.letter.traceback, entry.letter.size) == (None, None, None, 1000)


def test_a_letter_is_shown_with_everything():
    text = shown(letter_of(b'{"a": 1}', headers=(("h", b"\xff"), ("t", b"text")), traceback="Traceback: boom"))
    for part in ("0:7", "llm.requests:2:5", "r1", "broken", "0xff", "text", "Traceback: boom", '{\n  "a": 1\n}'):
        assert part in text


@pytest.mark.parametrize(
    ("value", "part"), [(None, "no value"), (b"\x00\x1babc", "00 1b 61 62 63"), (b"[" * 9000, "4096")]
)
def test_bytes_that_are_no_json_are_dumped(value, part):
    assert part in shown(letter_of(value))


def test_a_letter_can_not_take_over_the_terminal():
    letter = letter_of(b'{"a": "\\u001b[2J"}', message="x\x1b[2J\ny", headers=(("h\x1b", b"\x1b[2J"),))
    assert "\x1b" not in shown(letter) + "".join(table([Entry(LetterId(0, 7), letter)]))


def test_json_has_the_bytes():
    value = b"\x00\xff"
    assert base64.b64decode(bytes_as_json(letter_of(value))["value_base64"]) == value


def test_a_moment_is_a_duration_or_a_time():
    assert parse_moment("2026-03-01T12:00").isoformat() == "2026-03-01T12:00:00+00:00"
    assert parse_moment("1h").tzinfo is not None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["show", "x"], "partition:offset"),
        (["show", "0:1", "--raw", "-", "--json"], "either"),
        (["retry"], "--all"),
        (["retry", "0:1", "--all"], "--all"),
        (["retry", "0:1", "--stage", "classify"], "--all"),
        (["retry", "--all", "--edit", "x"], "--edit"),
        (["retry", "0:1", "0:2", "--edit", "x"], "--edit"),
        (["retry", "0:1", "--edit", "nowhere.json"], "nowhere.json"),
        (["purge"], "--all"),
        (["purge", "0:1", "--before", "1h"], "--all"),
        (["list", "--since", "soon"], "soon"),
    ],
)
def test_wrong_usage(arguments, word, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = CliRunner().invoke(app, ["dead-letters", *arguments])
    assert result.exit_code == 2
    assert word in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["list", "show", "retry", "purge"])
def test_help_has_examples(command):
    result = CliRunner().invoke(app, ["dead-letters", command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
