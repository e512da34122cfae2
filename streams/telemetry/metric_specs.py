"""Every metric: name, kind, labels and meaning, in one place, since the conventions still move.

What OpenTelemetry's GenAI conventions have a name for bears it, as Prometheus writes it: dots become underscores, and
the unit is appended. Labels take few values: no user, no request, no text.
"""

from dataclasses import dataclass
from typing import Final, Literal

Process = Literal["worker", "sink", "door"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric.

    Attributes:
        name: As it is exposed, the `_total` of counters included.
        labels: Their names.
        help: What it says, in one sentence without a full stop.
        of: The processes that have it.
        buckets: Upper bounds, of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    of: tuple[Process, ...] = ("worker",)
    buckets: tuple[float, ...] = ()


_BOTH: Final[tuple[Process, ...]] = ("worker", "sink")
_ALL: Final[tuple[Process, ...]] = ("worker", "sink", "door")
_CALL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "stage")
_CALL_SECONDS: Final = tuple(0.01 * 2**n for n in range(14))
"""As the GenAI conventions advise: from 0.01 to 81.92."""
_TOKENS: Final = tuple(float(4**n) for n in range(11))
"""As the GenAI conventions advise, to a million: no model takes more."""
_HANDLING_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_REQUEST_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)

CALL_DURATION: Final = MetricSpec(
    "gen_ai_client_operation_duration_seconds",
    "histogram",
    (*_CALL, "error_type"),
    "Time of a paid call on the wire and at the provider, without those of a provider's batch; error_type is empty for "
    "an answer",
    buckets=_CALL_SECONDS,
)
FIRST_CHUNK: Final = MetricSpec(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "histogram",
    _CALL,
    "Time from the sending of a streamed call to its first text",
    buckets=_CALL_SECONDS,
)
TOKENS: Final = MetricSpec(
    "gen_ai_client_token_usage",
    "histogram",
    (*_CALL, "gen_ai_token_type"),
    "Tokens of a paid call that are billed, as the provider counted them or else estimated",
    buckets=_TOKENS,
)
COST: Final = MetricSpec(
    "tierstream_cost_usd_total",
    "counter",
    ("provider", "model", "stage"),
    "What paid calls have cost, in US dollars",
)
RECORDS: Final = MetricSpec(
    "tierstream_records_total",
    "counter",
    ("stage", "outcome"),
    "Records that a stage is done with: ok, dropped (its request has a result), refused, undecodable, raised, lost",
)
RECORD_SECONDS: Final = MetricSpec(
    "tierstream_record_duration_seconds",
    "histogram",
    ("stage",),
    "Time from a record's admission to a stage until its outputs are acknowledged",
    buckets=_HANDLING_SECONDS,
)
RESULTS: Final = MetricSpec(
    "tierstream_results_total",
    "counter",
    ("status", "tier"),
    "Results that were published; tier is empty where no tier answered",
)
REQUEST_SECONDS: Final = MetricSpec(
    "tierstream_request_duration_seconds",
    "histogram",
    ("status",),
    "Time from a request's append to the topic until its result",
    buckets=_REQUEST_SECONDS,
)
BREAKER_CHANGES: Final = MetricSpec(
    "tierstream_breaker_changes_total", "counter", ("target", "state"), "How often a breaker came into a state"
)
BREAKER_STATE: Final = MetricSpec(
    "tierstream_breaker_state",
    "gauge",
    ("target", "state"),
    "1 for the state that a breaker is in (closed, half_open, open), 0 for the others",
)
PROVIDER_CALLS: Final = MetricSpec(
    "tierstream_provider_calls",
    "gauge",
    ("provider", "state"),
    "Calls of this process that have a slot at a provider (under_way) or wait for one (waiting)",
)
WINDOW_RECORDS: Final = MetricSpec(
    "tierstream_window_records", "gauge", ("stage",), "Records in work in a stage's window"
)
WINDOW_CAPACITY: Final = MetricSpec(
    "tierstream_window_capacity_records", "gauge", ("stage",), "Most records that may be in work in a stage's window"
)
WINDOW_BYTES: Final = MetricSpec(
    "tierstream_window_bytes", "gauge", ("stage",), "Bytes of the records that a stage's window holds"
)
PARKED: Final = MetricSpec("tierstream_parked_tasks", "gauge", (), "Parked tasks that this process holds in memory")
BULK_WAITING: Final = MetricSpec(
    "tierstream_bulk_waiting_tasks",
    "gauge",
    (),
    "Tasks of this process that wait until they leave in a batch of their provider",
)
SUBMISSIONS: Final = MetricSpec(
    "tierstream_submissions", "gauge", (), "Batches of providers that this process has under way"
)
LAG: Final = MetricSpec(
    "tierstream_consumer_lag_records",
    "gauge",
    ("stage", "topic"),
    "Offsets between what a stage has committed and the end of its partitions, as of the last fetch",
    of=_BOTH,
)
COMMIT_AGE: Final = MetricSpec(
    "tierstream_commit_age_seconds",
    "gauge",
    ("stage", "topic"),
    "For how long the partition that stands still longest has had records and no commit; 0 where all moves or rests",
    of=_BOTH,
)
ALIVE: Final = MetricSpec("tierstream_alive", "gauge", (), "1 while /livez says so", of=_ALL)
READY: Final = MetricSpec("tierstream_ready", "gauge", (), "1 while /readyz says so", of=_ALL)
BUILD: Final = MetricSpec("tierstream_build_info", "gauge", ("version",), "1; the version that runs", of=_ALL)
SINK_RECORDS: Final = MetricSpec(
    "tierstream_sink_records_total", "counter", (), "Records that were written to ClickHouse", of=("sink",)
)
SINK_ROWS: Final = MetricSpec(
    "tierstream_sink_rows_total", "counter", (), "Rows that were written to ClickHouse", of=("sink",)
)
SINK_BATCHES: Final = MetricSpec(
    "tierstream_sink_batches_total", "counter", (), "Batches that were written to ClickHouse", of=("sink",)
)
SINK_SKIPPED: Final = MetricSpec(
    "tierstream_sink_skipped_records_total", "counter", ("reason",), "Records that could not be stored", of=("sink",)
)
SINK_FAILURES: Final = MetricSpec(
    "tierstream_sink_failed_writes_total",
    "counter",
    (),
    "Writes to ClickHouse that failed and are repeated",
    of=("sink",),
)
SINK_LATENESS: Final = MetricSpec(
    "tierstream_sink_lateness_seconds",
    "gauge",
    (),
    "Age of the oldest record that was read and is not in ClickHouse; 0 where there is none",
    of=("sink",),
)
DOOR_REQUESTS: Final = MetricSpec(
    "tierstream_door_requests_total",
    "counter",
    ("surface", "status"),
    "HTTP requests to an API that ended, by status; 499 where the client did not wait",
    of=("door",),
)
DOOR_SECONDS: Final = MetricSpec(
    "tierstream_door_request_duration_seconds",
    "histogram",
    ("surface",),
    "Time from the head of an HTTP request to the end of its response",
    of=("door",),
    buckets=_REQUEST_SECONDS,
)
DOOR_WAITING: Final = MetricSpec(
    "tierstream_door_waiting_requests", "gauge", (), "HTTP requests that wait for their answers", of=("door",)
)

SPECS: Final = tuple(value for value in dict(globals()).values() if isinstance(value, MetricSpec))
"""All of them, in the order in which they stand here."""
