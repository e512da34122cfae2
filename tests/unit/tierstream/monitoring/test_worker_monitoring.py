"""What a worker shows of its stages, read at each scrape."""

from types import SimpleNamespace

from aiokafka import TopicPartition
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.in_memory import SETTINGS

from agents.bulk import STAGE as BULK
from agents.bulk import Bulk
from streams.config.settings import Settings
from tierstream.monitoring.monitor import Monitor
from tierstream.monitoring.worker_monitoring import WorkerMonitoring

LOADED = Settings(**SETTINGS)
NO_CALLS = SimpleNamespace(snapshot=list, load=list)
WAITING, SUBMISSIONS = "tierstream_bulk_waiting_tasks", "tierstream_submissions"


def samples(monitor):
    families = text_string_to_metric_families(generate_latest(monitor.registry).decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_what_waits_and_is_under_way_is_that_of_all_partitions_of_the_process():
    monitor = Monitor()
    monitoring = WorkerMonitoring(LOADED, monitor=monitor)
    bulk = Bulk(SimpleNamespace(settings=LOADED))
    monitoring.watch_gate(NO_CALLS)
    monitoring.watch_bulk(BULK, bulk)
    assert (samples(monitor)[WAITING], samples(monitor)[SUBMISSIONS]) == (0, 0)
    for number, (waiting, submissions) in enumerate([(40, 1), (2, 3)]):
        bulk._partitions[TopicPartition("t", number)] = SimpleNamespace(waiting=waiting, submissions=submissions)
    assert (samples(monitor)[WAITING], samples(monitor)[SUBMISSIONS]) == (42, 4)


def test_a_worker_without_the_stage_says_nothing_of_it():
    monitor = Monitor()
    WorkerMonitoring(LOADED, monitor=monitor).watch_gate(NO_CALLS)
    assert not {WAITING, SUBMISSIONS} & samples(monitor).keys()
