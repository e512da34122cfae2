"""Every metric against Prometheus' rules for names and units, the GenAI conventions' names, and its row in the docs."""

import re
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.telemetry import conventions
from streams.telemetry.metric_specs import SPECS
from streams.telemetry.worker_metrics import WorkerMetrics
from tierstream.monitoring.monitor import Monitor

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
NAMES = [spec.name for spec in SPECS]
OTHER_UNITS = ("ms", "milliseconds", "minutes", "hours", "kilobytes", "megabytes", "kb", "mb", "percent")
RESERVED = ("_count", "_sum", "_bucket", "_created")
CONVENTIONS = {
    "gen_ai_client_operation_duration_seconds": ("gen_ai.client.operation.duration", "s"),
    "gen_ai_client_operation_time_to_first_chunk_seconds": ("gen_ai.client.operation.time_to_first_chunk", "s"),
    "gen_ai_client_token_usage": ("gen_ai.client.token.usage", "{token}"),
}
"""The metrics that GenAI's conventions have, and their units there."""
BOUNDED = {
    *("stage", "tier", "provider", "model", "outcome", "status", "state", "target", "topic", "reason", "version"),
    "surface",
    *("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type", "error_type"),
}


def test_no_name_is_used_twice():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("spec", SPECS, ids=NAMES)
def test_names_follow_the_rules(spec):
    assert re.fullmatch(r"(tierstream|gen_ai)(_[a-z0-9]+)+", spec.name)
    assert spec.name.startswith("gen_ai_") == (spec.name in CONVENTIONS)
    words = spec.name.split("_")
    assert (words[-1] == "total") == (spec.kind == "counter")
    assert not set(words) & set(OTHER_UNITS)
    assert not spec.name.endswith(RESERVED)
    assert not {"gauge", "counter", "histogram", "summary"} & set(words)
    assert bool(spec.buckets) == (spec.kind == "histogram")
    assert list(spec.buckets) == sorted(set(spec.buckets))
    assert spec.help
    assert not spec.help.endswith(".")


@pytest.mark.parametrize("spec", SPECS, ids=NAMES)
def test_labels_take_few_values(spec):
    assert set(spec.labels) <= BOUNDED
    assert not {"le", "quantile", "job", "instance"} & set(spec.labels)


def test_names_of_the_conventions_are_written_as_prometheus_does():
    for name, (convention, unit) in CONVENTIONS.items():
        assert name == convention.replace(".", "_") + {"s": "_seconds", "{token}": ""}[unit]
    attributes = {value.replace(".", "_") for value in vars(conventions).values() if isinstance(value, str)}
    labels = {label for spec in SPECS for label in spec.labels if label.startswith(("gen_ai_", "error_"))}
    assert labels - {"gen_ai_token_type"} <= attributes


def test_attribute_names_are_those_of_the_published_registry():
    from opentelemetry.semconv._incubating.attributes import error_attributes, gen_ai_attributes, messaging_attributes

    registry = {
        value
        for module in (error_attributes, gen_ai_attributes, messaging_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    registry |= {"error.type"}
    ours = {value for name, value in vars(conventions).items() if name.isupper() and "." in value}
    assert {name for name in ours - registry if not name.startswith("tierstream.")} == set()


def test_what_is_exposed_is_what_is_specified():
    monitor = Monitor()
    metrics = WorkerMetrics(monitor.registry)
    metrics.record_done("infer:1", "ok", 0.01)
    metrics.result_published("ok", 1, 12.0)
    metrics.breaker_changed("tier:1", "open")
    text = generate_latest(monitor.registry).decode()
    specs = {spec.name.removesuffix("_total"): spec for spec in SPECS}
    found = {family.name: family for family in text_string_to_metric_families(text)}
    own = {name: family for name, family in found.items() if not name.startswith(("process_", "python_"))}
    assert own
    for name, family in own.items():
        spec = specs[name]
        assert (family.type, family.documentation) == (spec.kind, spec.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(spec.labels)


def test_the_docs_have_a_row_of_each_metric():
    rows = re.findall(r"^\| `((?:tierstream|gen_ai)_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    expected = [
        (
            spec.name,
            spec.kind,
            ", ".join(f"`{label}`" for label in spec.labels),
            ", ".join(spec.of),
            spec.help,
        )
        for spec in SPECS
    ]
    assert rows == expected
