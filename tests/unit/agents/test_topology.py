"""The stages against what lists them: the files, the topics, and what the topics say of who reads and writes them."""

from importlib import import_module
from pkgutil import iter_modules

import pytest

import agents
import topics.registry
from agents import STAGES
from agents.alerts import STAGE as ALERTS
from agents.batch import STAGE as BATCH
from agents.bulk import STAGE as BULK
from agents.learn import STAGE as LEARN
from agents.parked import STAGE as PARKED
from agents.settle import STAGE as SETTLE
from streams.config.settings import load
from streams.runtime.stage import Stage
from tierstream.stage_runs import stage_names
from topics.registry import TopicSpec, all_topics

TIERS = 3
TOPICS = {spec.name: spec for spec in all_topics(TIERS)}
each_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def specs_of(named) -> list[TopicSpec]:
    return [named] if isinstance(named, TopicSpec) else [named(tier) for tier in range(1, TIERS + 1)]


def test_every_file_is_a_stage_that_a_worker_runs():
    listed = {id(stage): stage.name for stage in STAGES}
    for module in iter_modules(agents.__path__):
        own = vars(import_module(f"agents.{module.name}"))
        declared = [one for one in own.values() if isinstance(one, Stage)]
        forgotten = [stage.name for stage in declared if id(stage) not in listed]
        assert not forgotten, f"agents/__init__.py: STAGES lacks {forgotten}, which no worker runs"
        is_consumer = own.get("STAGE") in {PARKED, SETTLE, BATCH, BULK, LEARN, ALERTS}
        assert declared or is_consumer, f"agents/{module.name}.py declares no stage"
    names = [instance.name for stage in STAGES for instance in stage.instances(load())]
    assert len(set(names)) == len(names)
    assert stage_names(load()) == [*names, PARKED, SETTLE, BATCH, BULK]
    sampling = load(overrides={"validation": {"sample_rate": 0.1}})
    assert stage_names(sampling) == [*names, PARKED, SETTLE, BATCH, BULK, LEARN]
    telling = load(overrides={"alerts": {"webhook_url": "http://127.0.0.1:1/"}})
    assert stage_names(telling) == [*names, PARKED, SETTLE, BATCH, BULK, ALERTS]


def test_every_topic_is_created_and_described():
    written = {one.name for one in vars(topics.registry).values() if isinstance(one, TopicSpec)}
    forgotten = written - TOPICS.keys()
    assert not forgotten, f"topics/registry.py: all_topics does not yield {forgotten}, so nobody creates them"


@each_stage
def test_a_topic_names_the_stages_that_use_it(stage):
    for spec in specs_of(stage.source):
        assert spec.name in TOPICS, (
            f"topics/registry.py: all_topics does not yield {spec.name}, which {stage.name} reads"
        )
        assert stage.name in spec.reads, f"topics/registry.py: {spec.name} does not say that {stage.name} reads it"
    emitted = {spec.name: spec for named in stage.emits for spec in specs_of(named)}
    missing = emitted.keys() - TOPICS.keys()
    assert not missing, f"topics/registry.py: all_topics does not yield {missing}, which {stage.name} writes"
    for name, spec in TOPICS.items():
        assert (stage.name in spec.writes) == (name in emitted), (
            f"whether {stage.name} writes {name}: agents/{stage.name}.py (emits) and topics/registry.py do not agree"
        )
