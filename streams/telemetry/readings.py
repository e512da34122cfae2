"""Metrics that are read when somebody looks: nothing is counted meanwhile."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.telemetry.metric_specs import MetricSpec

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values, each with what its labels say, in the order of the metric's labels."""


class Readings(Collector):
    """A collector of gauges and counters that something else keeps.

    Args:
        sources: For each metric what gives its samples, called at each scrape in the event loop.
    """

    def __init__(self, sources: Mapping[MetricSpec, Callable[[], Samples]]) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without reading them."""
        return [_family(spec) for spec in self._sources]

    def collect(self) -> Iterator[Metric]:
        """Read all of them."""
        for spec, read in self._sources.items():
            family = _family(spec)
            for labels, value in read():
                family.add_metric(labels, value)
            yield family


def _family(spec: MetricSpec) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    return kind(spec.name, spec.help, labels=spec.labels)
