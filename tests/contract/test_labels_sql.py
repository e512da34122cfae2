"""Labels of answers: what the view makes of steps, and what is learned from, on the real engine."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest
from support.ledger_records import fill_ledger

from analytics.clickhouse import open_client
from analytics.named_query import named_query
from topics.events import Hop, Hops
from topics.journal import attempt_id
from topics.results import Result, ResultStatus
from topics.tasks import Attempt, Source

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
FIRST_MS = int(AT.timestamp() * 1000)
TOPIC = "llm.requests"
OF = {"judge": "groq/big", "check": "groq/small", "feedback": "groq/small", "shadow": "together/new"}
SOURCES = {"sources": ["judge", "check", "feedback", "shadow"], "weights": [1.0, 1.0, 0.5, 0.25]}
_offsets = count()


def hop(stage, outcome, tier=1, *, model=None, scores=(), detail=None, **more):
    provider, _, name = (model or "").partition("/")
    return Hop(
        stage=stage,
        started_at=AT,
        ended_at=AT,
        queue_ms=0,
        outcome=outcome,
        tier=tier,
        provider=provider or None,
        model=name or None,
        scores=scores,
        detail=detail,
        **more,
    )


def answered(tier=1, outcome="ok", model="groq/small"):
    return hop(f"infer:{tier}", outcome, tier, model=model)


def routed(tier=1, classifier="requests/1:aa", rule=None):
    return hop("classify", "routed", tier, classifier=classifier, rule=rule)


def judged(verdict, tier=1):
    return hop("validate", verdict, tier, model="openai/judge")


def failed(check, tier=1):
    return [answered(tier, check), hop("escalate", "escalated", tier + 1, detail=f"check: {check}")]


def result(request_id, *, revision=0, user="ann", kind="faq", tier=1, offset=None, topic=TOPIC):
    attempt = attempt_id(request_id, revision, "infer", 1)
    route = Attempt(
        attempt_id=attempt,
        stage=f"infer:{tier}",
        tier=tier,
        provider="groq",
        model="small",
        why="classified",
        outcome="ok",
        cost_usd=Decimal(0),
        provider_ms=1.0,
    )
    place = next(_offsets) if offset is None else offset
    return Result(
        request_id=request_id,
        revision=revision,
        source=Source(topic=topic, partition=1, offset=place, timestamp_ms=FIRST_MS),
        status=ResultStatus.OK,
        attempt_id=attempt,
        content="",
        tier=tier,
        provider="groq",
        model="small",
        cost_usd=Decimal(0),
        latency_ms=1.0,
        route=(route,),
        settled_at=AT,
        user_id=user,
        query_type=kind,
    )


def told(request_id, *hops, revision=0):
    return Hops(request_id=request_id, revision=revision, hops=hops)


async def labels(url, records):
    await fill_ledger(url, "ledger", records, first_ms=FIRST_MS)
    async with open_client(url) as client:
        found = await client.query(
            "SELECT request_id, revision, user_id, query_type, tier, model, source, kind, value, weight "
            "FROM ledger.labels ORDER BY request_id, tier, source, kind"
        )
    return [tuple(row) for row in found.result_rows]


async def to_learn(url, records, **changed):
    """What the query for a training finds, by request and source."""
    await fill_ledger(url, "ledger", records, first_ms=FIRST_MS)
    asked = {
        **SOURCES,
        "cluster": "cluster",
        "bounds": [100] * 4,
        "requests_topic": TOPIC,
        "since": AT.strftime("%Y-%m-%d %H:%M:%S"),
        "until": (AT + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S"),
        "asked_since": (AT - timedelta(days=30)).strftime("%Y-%m-%d %H:%M:%S"),
        "most_represented": 20.0,
        "most": 1000,
        **changed,
    }
    async with open_client(url) as client:
        return list(await named_query(client, "ledger", "learning_labels", asked))


async def test_each_kind_of_evidence_becomes_a_label_and_nothing_else_does(clickhouse_url):
    records = [
        told("a-pass", routed(), answered(1, "timeout"), answered(), judged("judge_unreadable"), judged("judge_pass")),
        told("b-fail", answered(), judged("judge_fail"), answered(2, model="groq/big"), judged("judge_pass", 2)),
        told("c-check", *failed("schema"), answered(2)),
        told("d-filter", *failed("filtered"), answered(2)),
        # An error of the call has the name of a check, and nobody escalated.
        told("e-error", answered(1, "empty"), hop("infer:1", "promoted", 2, detail="empty"), answered(2)),
        told("f-dropped", answered(1, "dropped"), hop("validate", "unjudged")),
        told("g-up", hop("feedback", "thumbs_up", model="groq/small", scores=(1.0,))),
        told("g-up", hop("feedback", "rating", model="groq/small", scores=(0.5,))),
        told("h-late", hop("feedback", "unmatched", None)),
        told("i-shadow", hop("shadow", "win", 2, model="together/new", scores=(1.0, 1.0))),
        told("j-shadow", hop("shadow", "loss", 2, model="together/new", scores=(0.0, 0.0))),
        told("j-shadow", hop("shadow", "tie", 2, model="together/new", scores=(1.0, 0.0))),
    ]
    records += [result(request_id) for request_id in ("a-pass", "b-fail", "g-up", "i-shadow")]
    assert await labels(clickhouse_url, records) == [
        ("a-pass", 0, "ann", "faq", 1, "groq/small", "judge", "judge_pass", 1, 1),
        ("b-fail", 0, "ann", "faq", 1, "groq/small", "judge", "judge_fail", 0, 1),
        ("b-fail", 0, "ann", "faq", 2, "groq/big", "judge", "judge_pass", 1, 1),
        ("c-check", 0, "", "", 1, "groq/small", "check", "schema", 0, 1),
        ("g-up", 0, "ann", "faq", 1, "groq/small", "feedback", "rating", 0.5, 0),
        ("g-up", 0, "ann", "faq", 1, "groq/small", "feedback", "thumbs_up", 1, 1),
        ("i-shadow", 0, "ann", "faq", 2, "together/new", "shadow", "win", 1, 1),
    ]


async def test_a_user_has_so_many_labels_of_a_source_a_day(clickhouse_url):
    loud = [f"loud{n}" for n in range(30)]
    nobody = [f"nobody{n}" for n in range(12)]
    down = hop("feedback", "thumbs_down", model="groq/small", scores=(0.0,))
    records = [told(one, down) for one in (*loud, "calm", *nobody)]
    # The same word about the same answer, again and again.
    records += [told("calm", down)] * 3
    records += [result(one, user="loud") for one in loud] + [result("calm", user="calm")]
    records += [result(one, user=None) for one in nobody]
    found = await to_learn(clickhouse_url, records, bounds=[100, 100, 10, 100])
    assert [sum(row["user_id"] == user for row in found) for user in ("loud", "calm", "")] == [10, 1, 10]
    assert {(row["labels_of_source"], row["beyond_bound"], row["weight"]) for row in found} == {(21, 22, 0.5)}


async def test_a_judges_look_stands_for_the_answers_that_it_did_not_look_at(clickhouse_url):
    plain = [f"plain{n}" for n in range(9)]
    records = [told("looked", answered(), judged("judge_pass")), told("broken", *failed("hedge"))]
    records += [told("other", answered(), judged("judge_fail"))]
    records += [result(one) for one in ("looked", *plain)] + [result("other", kind="code"), result("broken", tier=2)]
    found = await to_learn(clickhouse_url, records)
    assert {row["request_id"]: row["represents"] for row in found} == {"looked": 10, "other": 1, "broken": 1}
    [capped] = [row for row in await to_learn(clickhouse_url, [], most_represented=4.0) if row["represents"] > 1]
    assert capped["represents"] == 4


async def test_where_the_text_of_a_request_is(clickhouse_url):
    look = [answered(), judged("judge_pass")]
    again = hop("feedback", "thumbs_up", 2, model="groq/big", scores=(1.0,))
    records = [told("once", *look), told("again", again, revision=1), told("reused", *look)]
    records += [
        result("once", offset=7),
        result("again", offset=8),
        result("again", revision=1, topic="llm.feedback", offset=3),
        result("reused", offset=9),
        result("reused", offset=10),
    ]
    found = await to_learn(clickhouse_url, records)
    assert {row["request_id"]: (row["partition"], row["offset"], row["revision"]) for row in found} == {
        "once": (1, 7, 0),
        "again": (1, 8, 1),
    }
    assert len(await to_learn(clickhouse_url, [], most=1)) == 1


@pytest.mark.parametrize("classifier", ["requests/1:aa", "requests/1:bb"])
async def test_how_the_answers_came_out_that_a_version_decided(clickhouse_url, classifier):
    voted = f"{classifier} then groq/m classify/1"
    records = [
        told("good", routed(classifier=classifier), answered(), judged("judge_pass")),
        told("bad", routed(classifier=voted), answered(), judged("judge_fail"), answered(2), judged("judge_pass", 2)),
        told("broken", routed(classifier=classifier), *failed("schema")),
        told("plain", routed(classifier=classifier), answered()),
        told("plain", hop("feedback", "wrong", model="groq/small", scores=(0.0,))),
        told("ruled", routed(classifier=classifier, rule="vip"), *failed("schema")),
        told("other", routed(classifier="requests/1:aab"), *failed("schema")),
    ]
    records += [result(one) for one in ("good", "bad", "broken", "plain", "ruled", "other")]
    await fill_ledger(clickhouse_url, "ledger", records, first_ms=FIRST_MS)
    asked = {"cluster": "cluster", "since": "2026-03-10", "until": "2026-03-11", "classifier": classifier}
    async with open_client(clickhouse_url) as client:
        [row] = await named_query(client, "ledger", "learning_failures", asked)
    counts = {name: row[name] for name in ("decided", "failed", "judged", "refuted", "complaints")}
    assert counts == {"decided": 4, "failed": 1, "judged": 2, "refuted": 1, "complaints": 1}
    assert (row["tier"], row["query_type"]) == (1, "faq")
