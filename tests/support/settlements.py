"""Requests that have their result, as settle leaves them: request, outcome and marker on a log in memory."""

from decimal import Decimal
from uuid import UUID

from support.in_memory import BASE_MS, Bench, new_request

from streams.kafka.publisher import Output
from topics.registry import OUTCOMES, REQUESTS, SETTLED
from topics.requests import Request
from topics.results import Outcome, ResultStatus, Settled
from topics.tasks import Source

ATTEMPT = UUID("dca8c1d7-23d1-527e-839e-1b10e9936607")


def settle(bench: Bench, request: Request | None = None, *, revision: int = 0, **fields: object) -> Outcome:
    """Put a request on the log, unless `source` says where it came in, with its outcome and the marker."""
    request = request or new_request()
    source = fields.pop("source", None)
    if source is None:
        place = bench.log.append(Output(REQUESTS, request))
        source = Source(
            topic="llm.requests", partition=place.partition, offset=place.offset, timestamp_ms=place.timestamp_ms
        )
    answer = {"tier": 1, "provider": "fast", "model": "a", "attempt_id": ATTEMPT, "content": "an answer"}
    outcome = Outcome(
        request_id=request.request_id,
        revision=revision,
        **{"status": ResultStatus.OK, "cost_usd": Decimal(0), **answer, **fields},
        source=source,
        digest=request.digest(),
        stage="infer:1",
    )
    place = bench.log.append(Output(OUTCOMES, outcome))
    mark(bench, request.request_id, revision, place.offset)
    return outcome


def mark(bench: Bench, request_id: str, revision: int = 0, outcome_offset: int | None = 0) -> None:
    """Put a marker on the log."""
    marker = Settled(
        request_id=request_id, revision=revision, digest="d", asked_ms=BASE_MS, outcome_offset=outcome_offset
    )
    bench.log.append(Output(SETTLED, marker))
