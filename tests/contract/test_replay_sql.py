"""What a replay reads of the ledger, on the real engine."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from support.ledger_records import fill_ledger

from analytics.clickhouse import open_client
from analytics.named_query import named_query
from topics.events import Hop, Hops
from topics.journal import CallError, CallStarted, Purpose, Rates, Usage, attempt_id
from topics.results import Result, ResultStatus
from topics.tasks import Attempt, Source

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
FIRST_MS = int(AT.timestamp() * 1000)
TOPIC = "llm.requests"
RATES = Rates(input=Decimal(1), output=Decimal(2), cached=Decimal(1), source="config")


def moment(at):
    return at.strftime("%Y-%m-%d %H:%M:%S.000")


WINDOW = {
    "cluster": "cluster",
    "since": moment(AT),
    "until": moment(AT + timedelta(minutes=1)),
    "horizon": moment(AT + timedelta(hours=1)),
}
REQUESTS = {"requests_topic": TOPIC, "most": 100}


def result(request_id, *, asked_ms=FIRST_MS, topic=TOPIC, revision=0, offset=1):
    attempt = attempt_id(request_id, revision, "infer:1", 0)
    line = Attempt(
        attempt_id=attempt,
        stage="infer:1",
        tier=1,
        provider="groq",
        model="small",
        why="classifier x",
        outcome="hedge",
        cost_usd=Decimal(0),
        provider_ms=1.0,
    )
    return Result(
        request_id=request_id,
        revision=revision,
        source=Source(topic=topic, partition=2, offset=offset, timestamp_ms=asked_ms),
        status=ResultStatus.DEGRADED,
        cost_usd=Decimal(0),
        latency_ms=7.0,
        provider_ms=5.0,
        route=(line,),
        settled_at=AT,
        feature="chat",
        query_type="faq",
    )


def called(request_id, call, *, purpose=Purpose.INFER, error=None, revision=0):
    started = CallStarted(
        call_id=attempt_id(request_id, revision, call, 9),
        attempt_id=attempt_id(request_id, revision, "infer:1", 0),
        request_id=request_id,
        revision=revision,
        stage="infer:1",
        n=0,
        purpose=purpose,
        tier=1,
        provider="groq",
        model="small",
        started_at=AT,
        deadline=AT,
    )
    usage = Usage(input=10, output=3, cached=4, cache_written=2, reasoning=1)
    failed = CallError(kind=error, message="no") if error else None
    ended = started.end(
        started_at=AT,
        ended_at=AT + timedelta(seconds=1),
        error=failed,
        usage=None if failed else usage,
        rates=RATES,
        cost_usd=Decimal(0) if failed else RATES.cost(usage),
    )
    return [started, ended]


def hop(stage, outcome, **more):
    return Hop(stage=stage, started_at=AT, ended_at=AT, queue_ms=0, outcome=outcome, **more)


async def rows(url, query, records, **more):
    await fill_ledger(url, "ledger", records, first_ms=FIRST_MS)
    async with open_client(url) as client:
        return await named_query(client, "ledger", query, {**WINDOW, **more})


async def test_requests_of_the_window_have_their_place_and_their_route(clickhouse_url):
    others = [
        result("early", asked_ms=FIRST_MS - 1),
        result("late", asked_ms=FIRST_MS + 60_000),
        result("retry", revision=1),
        result("feedback", topic="llm.feedback"),
    ]
    [found] = await rows(clickhouse_url, "replay_requests", [result("r", offset=7), *others], **REQUESTS)
    assert (found["request_id"], found["source_partition"], found["source_offset"]) == ("r", 2, 7)
    assert (found["asked_ms"], found["settled_ms"]) == (FIRST_MS, FIRST_MS)
    assert (found["status"], found["latency_ms"], found["own_ms"]) == ("degraded", 7.0, 2.0)
    assert (found["feature"], found["query_type"]) == ("chat", "faq")
    assert (list(found["stages"]), list(found["tiers"]), list(found["outcomes"])) == (["infer:1"], [1], ["hedge"])


async def test_a_sample_is_the_same_every_time(clickhouse_url):
    made = [result(f"r{number}", offset=number) for number in range(50)]
    few = await rows(clickhouse_url, "replay_requests", made, requests_topic=TOPIC, most=10)
    async with open_client(clickhouse_url) as client:
        more = await named_query(client, "ledger", "replay_requests", {**WINDOW, "requests_topic": TOPIC, "most": 20})
    assert [one["request_id"] for one in few] == [one["request_id"] for one in more][:10]
    assert len(more) == 20


async def test_decisions_are_told_exactly(clickhouse_url):
    scores = (0.123457, 0.1 + 0.2, 1e-06)
    routed = hop("classify", "routed", tier=2, rule="ceo", classifier="requests/1:aa", scores=scores, detail="boundary")
    late = hop("classify", "expired", tier=1, classifier="requests/1:aa")
    other = [hop("infer:2", "ok", tier=2), hop("classify", "dropped", tier=1)]
    records = [
        Hops(request_id="r", hops=(routed, *other)),
        Hops(request_id="late", hops=(late,)),
        Hops(request_id="r", revision=1, hops=(routed,)),
    ]
    found = await rows(clickhouse_url, "replay_decisions", records)
    second, first = sorted(found, key=lambda row: row["request_id"])
    assert (first["request_id"], first["tier"], first["rule"], first["detail"]) == ("r", 2, "ceo", "boundary")
    assert tuple(first["scores"]) == scores
    assert (second["request_id"], second["outcome"], second["rule"]) == ("late", "expired", "")


async def test_a_call_counts_once_and_comparisons_do_not(clickhouse_url):
    once = called("r", "a")
    records = [
        *once,
        once[1],
        *called("r", "b", error="timeout"),
        *called("r", "c", purpose=Purpose.SHADOW),
        *called("r", "d", revision=1),
        called("r", "e")[0],
    ]
    found = sorted(await rows(clickhouse_url, "replay_calls", records), key=lambda row: row["error_kind"])
    assert [row["error_kind"] for row in found] == ["", "timeout"]
    good = found[0]
    tokens = ("input_tokens", "output_tokens", "cached_tokens", "cache_written_tokens", "reasoning_tokens")
    assert [good[name] for name in tokens] == [10, 3, 4, 2, 1]
    assert (good["ref"], good["purpose"], good["tier"], good["provider_ms"]) == ("groq/small", "infer", 1, 1000.0)
    assert good["cost_usd"] == RATES.cost(Usage(input=10, output=3, cached=4, cache_written=2))
    assert good["attempt_id"] == attempt_id("r", 0, "infer:1", 0)
    assert good["at_ms"] == FIRST_MS + 1
    assert good["in_batch"] is False


async def test_a_call_of_a_batch_is_told_from_others(clickhouse_url):
    started, ended = called("r", "a")
    records = [started, ended.model_copy(update={"provider_batch": "b1"})]
    [found] = await rows(clickhouse_url, "replay_calls", records)
    assert found["in_batch"] is True


async def test_what_users_said_is_a_mean_by_tier(clickhouse_url):
    said = [hop("feedback", "thumbs", tier=2, scores=(score,)) for score in (1.0, 0.0, 0.0, 0.0)]
    records = [result("r"), Hops(request_id="r", hops=tuple(said)), Hops(request_id="x", hops=(hop("infer:1", "ok"),))]
    [found] = await rows(clickhouse_url, "replay_labels", records)
    assert (found["request_id"], found["tier"], found["value"]) == ("r", 2, 0.25)
