"""What a worker counts as it happens."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from streams.telemetry import metric_specs as specs
from streams.telemetry.conventions import CHAT
from streams.telemetry.metric_specs import MetricSpec
from topics.journal import CallEnded

_Child = TypeVar("_Child")


class _Children(dict[tuple[str, ...], _Child]):
    """The series of a metric by what their labels say; to have the library look each up anew takes twice as long."""

    def __init__(self, labels: Callable[..., _Child]) -> None:
        self._labels = labels

    def __missing__(self, key: tuple[str, ...]) -> _Child:
        made = self[key] = self._labels(*key)
        return made


_NO_ERROR: Final = ""


class WorkerMetrics:
    """The counters and histograms of a worker.

    Args:
        registry: Exposes them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(spec: MetricSpec) -> _Children[Counter]:
            return _Children(Counter(spec.name, spec.help, spec.labels, registry=registry).labels)

        def histogram(spec: MetricSpec) -> _Children[Histogram]:
            made = Histogram(spec.name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)
            return _Children(made.labels)

        self._call_seconds = histogram(specs.CALL_DURATION)
        self._first_chunk = histogram(specs.FIRST_CHUNK)
        self._tokens = histogram(specs.TOKENS)
        self._cost = counter(specs.COST)
        self._records = counter(specs.RECORDS)
        self._record_seconds = histogram(specs.RECORD_SECONDS)
        self._results = counter(specs.RESULTS)
        self._request_seconds = histogram(specs.REQUEST_SECONDS)
        self._breaker_changes = counter(specs.BREAKER_CHANGES)

    def call_ended(self, ends: Sequence[CallEnded], *, has_left: bool) -> None:
        """Count a paid call by what the journal says of it, so that the sums are the ledger's.

        Args:
            ends: One for each request that shares the call.
            has_left: Whether anything was sent.
        """
        one = ends[0]
        labels = (CHAT, one.provider, one.model, one.stage)
        # A batch of the provider takes hours, which says nothing of how fast the model is.
        if has_left and one.provider_batch is None:
            error = _NO_ERROR if one.error is None else one.error.kind
            self._call_seconds[(*labels, error)].observe(one.provider_ms / 1000)
        if one.first_token_ms is not None:
            self._first_chunk[labels].observe(one.first_token_ms / 1000)
        used = [end.usage for end in ends if end.usage is not None]
        if used:
            self._tokens[(*labels, "input")].observe(sum(usage.input for usage in used))
            self._tokens[(*labels, "output")].observe(sum(usage.output for usage in used))
            self._cost[one.provider, one.model, one.stage].inc(float(sum(end.cost_usd for end in ends)))

    def record_done(self, stage: str, outcome: str, seconds: float) -> None:
        """Count a record that a stage is done with."""
        self._records[stage, outcome].inc()
        self._record_seconds[stage,].observe(seconds)

    def result_published(self, status: str, tier: int | None, latency_ms: float) -> None:
        """Count a result."""
        self._results[status, "" if tier is None else str(tier)].inc()
        self._request_seconds[status,].observe(latency_ms / 1000)

    def breaker_changed(self, target: str, state: str) -> None:
        """Count a change of a breaker's state."""
        self._breaker_changes[target, state].inc()
