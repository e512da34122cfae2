"""Feedback on a real broker: the next revision from the next tier, once, whoever asks how often and whatever dies."""

import asyncio
import json
import statistics
from collections import Counter

import pytest
from typer.testing import CliRunner

from streams.kafka.clock import utc_now
from streams.kafka.publisher import started_producer
from tierstream.cli import app
from tierstream.simulator.server import running_simulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.events import Hop
from topics.feedback import Feedback, FeedbackKind
from topics.registry import DEAD_LETTERS, FEEDBACK, HOPS, RESULTS
from topics.requests import Request
from topics.results import Result


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a crash meets some of them on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=100, tokens_per_second=100_000, jitter=0.2, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}}


def requests(count: int, **fields) -> list[Request]:
    """What the rules send to the first tier."""
    cheap = {"context": {"self_validating": True}, "service_class": "bulk", **fields}
    return [
        Request.model_validate(
            {"request_id": f"r{n}", "messages": [{"role": "user", "content": f"What is number {n}?"}], **cheap}
        )
        for n in range(count)
    ]


async def give(deployment, said: list[Feedback]) -> None:
    """Produce feedback as a service does, to whichever partition its key leads."""
    await give_bytes(deployment, *(one.model_dump_json(exclude_none=True).encode() for one in said))


async def give_bytes(deployment, *values: bytes) -> None:
    producer = await started_producer(deployment.kafka)
    try:
        for number, value in enumerate(values):
            await producer.send_and_wait(FEEDBACK.full_name(deployment.kafka.prefix), value, key=b"%d" % number)
    finally:
        await producer.stop()


async def revisions(deployment, count: int) -> dict[tuple[str, int], Result]:
    """Wait for so many results and for the end of all work; each has come exactly once then."""
    while len(found := await deployment.read(RESULTS)) < count:
        deployment.check()
        await asyncio.sleep(0.05)
    await deployment.quiet()
    found = await deployment.read(RESULTS)
    once = {(result.request_id, result.revision): result for result in found}
    assert len(once) == len(found) == count
    return once


async def hops_of_feedback(deployment) -> list[tuple[str, int, Hop]]:
    """The hops that tell of feedback, each once however often it was told."""
    told = {}
    for record in await deployment.read(HOPS):
        for hop in record.hops:
            if hop.stage == "feedback":
                told[record.request_id, record.revision, hop.started_at, hop.outcome] = hop
    return [(request_id, revision, hop) for (request_id, revision, *_), hop in told.items()]


async def assert_verified(deployment, simulator, tmp_path):
    log = tmp_path / "usage.jsonl"
    log.write_text("".join(json.dumps(call) + "\n" for call in simulator.calls))
    verification = await verify(deployment.settings, VerifyOptions(usage_logs=(log,), wait_s=10), lambda *_: None)
    assert verification.findings.ok, verification.findings.as_json()
    assert not verification.findings.counts[Check.PENDING]
    return verification.counts


@pytest.mark.slow
async def test_a_retry_is_one_revision_from_the_next_tier_whatever_dies(deployment, simulator, tmp_path):
    asked = requests(60)
    worker = await deployment.start_worker()
    await deployment.send(asked)
    await deployment.settled([request.request_id for request in asked])
    before = len(simulator.calls)

    mismatch = [Feedback(request_id=one.request_id, kind=FeedbackKind.SCHEMA_MISMATCH) for one in asked]
    again = [Feedback(request_id=one.request_id, kind=FeedbackKind.WRONG, user_id="ann", retry=True) for one in asked]
    await give(deployment, [*mismatch, *again, *mismatch])
    await simulator.served(before + 15)
    deployment.unwatch(worker).kill()
    await deployment.start_worker()
    found = await revisions(deployment, 120)

    for one in asked:
        first, second = found[one.request_id, 0], found[one.request_id, 1]
        assert (first.tier, second.tier, second.status) == (1, 2, "ok")
        assert second.source.topic == FEEDBACK.full_name(deployment.kafka.prefix)
    journal = await deployment.journal()
    journal.assert_paid_once({call["call_id"] for call in simulator.calls})
    told = await hops_of_feedback(deployment)
    assert Counter(hop.outcome for *_, hop in told) == {"schema_mismatch": 120, "wrong": 60}
    assert {revision for _, revision, _ in told} == {0}
    counts = await assert_verified(deployment, simulator, tmp_path)
    assert (counts["feedback"], counts["retried_revisions"]) == (180, 60)


@pytest.mark.slow
async def test_what_can_not_be_matched_is_told_and_bad_feedback_is_a_dead_letter(deployment, simulator, tmp_path):
    [request] = requests(1, max_tier=1)
    await deployment.start_worker()
    await deployment.send([request])
    await deployment.settled(["r0"])
    said = [
        Feedback(request_id="r0", kind=FeedbackKind.THUMBS_DOWN, comment="no"),
        Feedback(request_id="r0", kind=FeedbackKind.WRONG, retry=True),
        Feedback(request_id="stranger", kind=FeedbackKind.RATING, rating=2),
    ]
    await give(deployment, said)
    await give_bytes(deployment, b'{"request_id": "r0", "kind": "rating"}')
    await revisions(deployment, 1)
    [letter] = await deployment.read(DEAD_LETTERS)
    assert (letter.stage, letter.reason, letter.request_id) == ("feedback", "invalid", "r0")
    details = {(request_id, hop.outcome): hop.detail for request_id, _, hop in await hops_of_feedback(deployment)}
    assert details == {
        ("r0", "thumbs_down"): "noted",
        ("r0", "wrong"): "retry refused: max_tier",
        ("stranger", "unmatched"): "rating: no result is known",
    }
    await assert_verified(deployment, simulator, tmp_path)


@pytest.mark.slow
async def test_how_long_a_revision_takes_beside_a_request(deployment, simulator, capsys):
    """Measured and shown, at one at a time; nothing is promised here."""
    simulator.set_behaviour(ttft_ms=0, jitter=0)
    asked = requests(40, min_tier=2, max_tier=3)
    await deployment.start_worker()
    for one in asked:
        await deployment.send([one])
        await deployment.results([one.request_id])
    for count, one in enumerate(asked, len(asked) + 1):
        await give(deployment, [Feedback(request_id=one.request_id, kind=FeedbackKind.WRONG, retry=True)])
        while len(found := await deployment.read(RESULTS)) < count:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
    own = {revision: [r.latency_ms - r.provider_ms for r in found if r.revision == revision] for revision in (0, 1)}
    with capsys.disabled():
        for revision, times in own.items():
            p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            print(f"\nrevision {revision}: own time p50 {p50:.1f} ms, p95 {p95:.1f} ms", end="")  # noqa: T201 - what it is run for
    assert len(own[0]) == len(own[1]) == 40
    assert utc_now() > max(r.settled_at for r in found)


async def test_the_command_gives_feedback_and_shows_what_comes_of_it(deployment, tmp_path):
    await deployment.start_worker()
    await deployment.send(requests(3))
    await deployment.settled(["r0", "r1", "r2"])
    shown = await command(deployment, "r0", "schema_mismatch", "--wait")
    assert shown.exit_code == 0, shown.output
    assert "retried as revision 1" in shown.stderr
    assert "T2 " in shown.stderr
    assert ", revision 1" in shown.stderr
    assert shown.stdout.strip()

    said = [
        {"request_id": "r1", "kind": "rating", "rating": 5, "user_id": "ann"},
        # In the same batch as the one before, and so of the same millisecond.
        {"request_id": "r1", "kind": "thumbs_up", "user_id": "bob"},
        {"request_id": "r2", "kind": "wrong", "retry": True, "coment": "?"},
        {"request_id": "stranger", "kind": "thumbs_up"},
    ]
    lines = tmp_path / "feedback.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in said))
    shown = await command(deployment, "--input", str(lines), "--wait", "--json")
    assert shown.exit_code == 1, shown.output
    assert "coment (line 3)" in shown.stderr
    shown_replies = list(json_objects(shown.stdout))
    assert {one["outcome"] for one in shown_replies if one["request_id"] == "r1"} == {"rating", "thumbs_up"}
    replies = {one["request_id"]: one for one in shown_replies}
    assert replies["r1"]["detail"] == "noted"
    assert (replies["r2"]["detail"], replies["r2"]["result"]["tier"]) == ("retried as revision 1", 2)
    assert replies["stranger"]["outcome"] == "unmatched"


async def command(deployment, *arguments: str):
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["--config", str(deployment.config), "feedback", *arguments]
    )


def json_objects(text: str):
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        found, at = decoder.raw_decode(text, at)
        yield found
        at += 1
