"""The demo corpus: its mix, the soundness of its answers, and the sampling the demo and the benchmark rely on."""

import json
from collections import Counter
from importlib import resources

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from tierstream.demo.corpus import REQUEST_FIELDS, CorpusEntry, CorpusError, load, parse, sample, script_entries

ENTRIES = load()
TOTAL = sum(entry.weight for entry in ENTRIES)
WITH_SCHEMA = [entry for entry in ENTRIES if entry.response_schema is not None]
FILE = resources.files("tierstream.demo").joinpath("corpus.jsonl")
RAW = [json.loads(line) for line in FILE.read_text(encoding="utf-8").rstrip().split("\n")]


def share(keep) -> float:
    return sum(entry.weight for entry in ENTRIES if keep(entry)) / TOTAL


def line(**changes) -> str:
    entry = {
        "id": "faq-001",
        "pattern": "faq",
        "user_id": "c-1",
        "feature": "faq-bot",
        "messages": [{"role": "user", "content": "secret question"}],
        "context": {
            "user_role": "customer",
            "error_tolerance": "normal",
            "business_impact": "normal",
            "self_validating": False,
            "data_class": "public",
        },
        "label": 1,
        "answer": "yes",
        "weight": 1.0,
    }
    return json.dumps({key: value for key, value in {**entry, **changes}.items() if value is not ...})


def test_size_and_patterns():
    assert len(ENTRIES) >= 170
    counts = Counter(entry.pattern for entry in ENTRIES)
    assert set(counts) == {"faq", "extraction", "code", "support", "analysis"}
    assert min(counts.values()) >= 25


def test_ids_and_prompts_are_unique():
    assert len({entry.id for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.prompt.strip() for entry in ENTRIES}) == len(ENTRIES)
    assert all(entry.id.startswith(entry.pattern) for entry in ENTRIES)


@pytest.mark.parametrize(
    ("label", "low", "high"), [(1, 0.75, 0.77), (2, 0.18, 0.19), (3, 0.04, 0.05), (None, 0.005, 0.015)]
)
def test_label_shares_by_weight(label, low, high):
    assert low <= share(lambda entry: entry.label == label) <= high


def test_about_half_of_the_failures_are_detectable():
    failing = [entry for entry in ENTRIES if entry.failure is not None]
    silent = sum(entry.weight for entry in failing if entry.failure == "wrong") / sum(e.weight for e in failing)
    assert 0.4 <= silent <= 0.6


def test_context_mix():
    assert len({entry.user_id for entry in ENTRIES}) >= 30
    judged = share(lambda e: e.context.business_impact == "critical" or e.context.error_tolerance == "low")
    assert 0.10 <= judged <= 0.12
    assert 0.04 <= share(lambda e: e.context.data_class == "restricted") <= 0.06
    assert {"ceo", "cfo", "legal", "agent", "engineer", "customer"} <= {e.context.user_role for e in ENTRIES}
    assert any(e.context.self_validating and e.service_class == "bulk" for e in ENTRIES)
    assert any(len([m for m in e.messages if m.role == "assistant"]) > 1 for e in ENTRIES)


def test_power_user_sends_a_tenth_of_the_traffic_and_it_is_simple():
    reports = [entry for entry in ENTRIES if entry.user_id == "u-ana-ops"]
    assert {entry.feature for entry in reports} == {"report-bot"}
    assert share(lambda e: e.user_id == "u-ana-ops") > 0.08
    assert sum(e.weight for e in reports if e.label == 1) / sum(e.weight for e in reports) > 0.9


@pytest.mark.parametrize("entry", WITH_SCHEMA, ids=lambda entry: entry.id)
def test_answers_validate_against_their_schema(entry):
    Draft202012Validator.check_schema(entry.response_schema)
    validator = Draft202012Validator(entry.response_schema)
    validator.validate(json.loads(entry.answer))
    if entry.wrong is not None:
        validator.validate(json.loads(entry.wrong))


def test_invoices_add_up():
    invoices = [json.loads(e.answer) for e in WITH_SCHEMA if "tax" in e.response_schema["properties"]]
    assert invoices
    assert all(i["net"] + i["tax"] == pytest.approx(i["total"]) for i in invoices)


def test_wrong_texts_are_not_right():
    assert all(entry.right(entry.answer) for entry in ENTRIES)
    assert not any(entry.right(entry.wrong) for entry in ENTRIES if entry.wrong is not None)


def test_request_fields_are_those_of_the_file_and_no_others():
    for entry, raw in zip(ENTRIES, RAW, strict=True):
        assert entry.request_fields() == {key: value for key, value in raw.items() if key in REQUEST_FIELDS}


def test_script_entries_hold_only_what_is_given():
    scripts = list(script_entries())
    assert [script["prompt"] for script in scripts] == [raw["messages"][-1]["content"] for raw in RAW]
    for script, raw in zip(scripts, RAW, strict=True):
        expected = {key: raw[key] for key in ("label", "answer", "wrong", "failure") if key in raw}
        assert script == {"prompt": script["prompt"], **expected}


def test_sample_is_deterministic_for_a_seed():
    assert sample(150, seed=7) == sample(150, seed=7)
    assert sample(150, seed=7) != sample(150, seed=8)
    assert sample(0, seed=7) == []


def test_sample_uses_every_entry_from_twice_the_size_on():
    picked = sample(2 * len(ENTRIES), seed=3)
    assert len(picked) == 2 * len(ENTRIES)
    assert {entry.id for entry in picked} == {entry.id for entry in ENTRIES}


@pytest.mark.parametrize("seed", range(20))
def test_small_sample_has_every_label(seed):
    picked = sample(100, seed=seed)
    assert len(picked) == 100
    assert {entry.label for entry in picked} == {1, 2, 3, None}


def test_large_sample_follows_the_weights():
    picked = sample(10_000, seed=1)
    assert sum(entry.label == 1 for entry in picked) / len(picked) == pytest.approx(0.76, abs=0.02)
    assert sum(entry.label == 2 for entry in picked) / len(picked) == pytest.approx(0.185, abs=0.02)


def test_negative_sample_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        sample(-1, seed=0)


@pytest.mark.parametrize(
    ("answer", "content", "right"),
    [
        ("Yes.", "  Yes.\n", True),
        ("Yes.", "yes.", False),
        ('{"a": 5, "b": [1]}', '{"b":[1.0],\n"a":5.00}', True),
        ('{"a": 5, "b": [1]}', '{"a": 5, "b": [true]}', False),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False),
        ('{"a": 5}', '{"a": 5', False),
        ("5", "5.0", False),
    ],
)
def test_right(answer, content, right):
    assert CorpusEntry.model_validate_json(line(answer=answer)).right(content) is right


def test_entries_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        ENTRIES[0].answer = "other"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("{not json", "line 1: entry: Invalid JSON"),
        (line(lable=2), "line 1: lable: Extra inputs"),
        (line(label=4), "line 1: label"),
        (line(weight=0), "line 1: weight"),
        (line(label=...), "line 1: label: Field required"),
        (line(label=2), "needs a failure"),
        (line(label=2, failure="wrong"), "wrong text"),
        (line(label=2, failure="hedge", wrong="no"), "wrong text"),
        (line(label=2, failure="schema"), "response_schema"),
        (line(messages=[{"role": "assistant", "content": "secret question"}]), "last message must be the user's"),
        (line() + "\n\n" + line(), "line 3: the id repeats that of line 1"),
        (line() + "\n" + line(id="faq-002"), "line 2: the last user message repeats that of line 1"),
    ],
)
def test_bad_corpus_is_named_by_line_without_its_texts(text, message):
    with pytest.raises(CorpusError, match=message) as caught:
        parse(text)
    assert "secret question" not in str(caught.value)
