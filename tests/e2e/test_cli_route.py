"""`tierstream route`: the decision for a prompt, a file or a whole request, explained, without anything running."""

import json

import pytest
from typer.testing import CliRunner

from streams.routing.features_classifier import FeaturesClassifier
from tierstream.cli import app
from topics.tasks import Decision

FEATURES = FeaturesClassifier.version


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "TIERSTREAM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", "features")


def run(*arguments, code=0, **options):
    result = CliRunner().invoke(app, ["route", *map(str, arguments)], **options)
    assert result.exit_code == code, result.output
    return result


def decision_of(*arguments, **options):
    return Decision.model_validate_json(run("--json", *arguments, **options).stdout)


def test_help():
    shown = run("--help").stdout
    assert "without sending it" in shown
    assert "Example" in shown


def test_one_line_says_where_and_why():
    assert run("Do you ship to Norway?").stdout == f"T1 fast open-weight: classifier {FEATURES}\n"
    assert run("--role", "ceo", "Are our projections ok?").stdout == "T3 frontier: rule executive-finance\n"


def test_the_learned_classifier_is_named_with_its_model(monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", "learned")
    assert decision_of("Do you ship to Norway?").classifier.startswith("learned/")


def test_a_model_that_can_not_be_used_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", "learned")
    monkeypatch.setenv("TIERSTREAM_ROUTING__MODEL", str(tmp_path / "none.npz"))
    result = CliRunner().invoke(app, ["route", "x"])
    assert result.exit_code == 2
    assert "routing.model" in result.output


def test_explained():
    shown = run("--explain", "--role", "ceo", "Are our projections ok?").stdout
    for words in (
        "T3 frontier: rule executive-finance",
        "0.45 to 0.55",
        f"{FEATURES} came to T1",
        "analysis",
        "T1 to T3",
    ):
        assert words in shown
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert lines["executive-finance"] == ["yes", "tier", "top"]
    assert lines["critical-path"][0] == "no"
    assert lines["T3"][-1] == "chosen"


UNSURE = "Explain the difference between these two invoices and tell me which of them is due first."


@pytest.mark.parametrize("classifier", ["llm", "cascade"])
def test_whether_a_language_model_would_be_asked_and_with_what(classifier, monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", classifier)
    monkeypatch.setenv("TIERSTREAM_ROUTING__LLM__ASK", "[0.05, 0.95]")
    text = UNSURE + " Route me to tier 3."
    assert run(text).stdout.endswith(", unless groq/openai/gpt-oss-20b thinks otherwise\n")
    shown = run("--explain", "--user", "ann", "--system", "Be brief.", text).stdout
    assert "groq/openai/gpt-oss-20b is asked, for 100 ms at most" in shown
    told = shown.partition("and nothing else:\n")[2].split("\n  ")
    assert [line.strip() for line in told] == ["impact normal, tolerance normal, answer in free text", text]


@pytest.mark.parametrize(
    ("classifier", "arguments", "words"),
    [
        ("features", (UNSURE,), "no language model is asked"),
        ("learned", (UNSURE,), "no language model is asked"),
        ("llm", ("--role", "ceo", "Are our projections ok?"), "is not asked: it could change nothing"),
        ("llm", ("--max-tier", 1, UNSURE), "is not asked: it could change nothing"),
        ("llm", ("--data-class", "restricted", UNSURE), "is not asked: it may not see restricted data"),
    ],
)
def test_why_a_language_model_would_not_be_asked(classifier, arguments, words, monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", classifier)
    shown = run("--explain", *arguments).stdout
    assert words in " ".join(shown.split())
    assert "is shown this" not in shown


def test_nobody_is_asked_about_a_blank_question(monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", "llm")
    request = json.dumps({"messages": [{"role": "user", "content": " "}]})
    shown = run("--explain", "-", input=request).stdout
    assert "is not asked: there is nothing in the question to judge" in " ".join(shown.split())


def test_each_option_reaches_the_decision():
    assert decision_of("x", "--impact", "critical").rule == "critical-path"
    assert decision_of("x", "--tolerance", "low").rule == "low-error-tolerance"
    assert decision_of("x", "--service-class", "bulk", "--self-validating").rule == "bulk-with-own-validation"
    assert decision_of("x", "--min-tier", 2, "--max-tier", 2).tier == 2
    assert decision_of("x", "--query-type", "mine").query_type == "mine"
    assert decision_of("x", "--data-class", "restricted", "--system", "Be brief.").floor == 1


def test_json_is_the_record_that_a_worker_writes():
    decision = decision_of("Where is order 17?")
    assert (decision.tier, decision.classified_tier, decision.query_type) == (1, 1, "faq")
    assert len(decision.scores) == 3
    assert decision.signature == decision_of("where is order 4711").signature


def test_a_file_and_a_whole_request(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("Where is my order?\n", encoding="utf-8")
    assert decision_of("--file", path).query_type == "faq"
    request = {"prompt": "Is it\nfine?", "context": {"user_role": "legal", "business_impact": "critical"}}
    assert decision_of("-", input=json.dumps(request, indent=2)).rule == "legal-review"
    odd = run("-", input='{"prompt": "hi", "min_teir": 2}')
    assert odd.stderr == "warning: stdin: fields that nobody reads: min_teir\n"


def test_limits_and_presets_of_the_config_apply(tmp_path):
    (tmp_path / "tierstream.toml").write_text('[routing]\npreset = "two-tier"\n[routing.limits.tag]\nacme = 1\n')
    assert run("--role", "ceo", "Revenue?").stdout == "T2 frontier: rule executive-finance\n"
    limited = run("--explain", "--role", "ceo", "--tag", "acme", "Revenue?").stdout
    assert "T1 everything else: limit tag acme" in limited


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ((), " ", "the prompt is empty"),
        (("  ",), None, "the prompt is empty"),
        (("hi", "--file", "x"), None, "give the prompt once"),
        (("--file", "missing.txt"), None, "missing.txt: No such file"),
        (("-", "--role", "ceo"), "{}", "the request says the rest"),
        (("-",), "", "stdin: there is no request in it"),
        (("-",), "{", "stdin line 1: not JSON"),
        (("-",), '{"messages": []}', "messages"),
        (("hi", "--min-tier", "4"), None, "there are 3 tiers"),
        (("hi", "--min-tier", "2", "--max-tier", "1"), None, "min_tier: is above max_tier"),
    ],
)
def test_mistakes(arguments, stdin, words):
    result = run(*arguments, code=2, input=stdin)
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_what_no_tier_has_room_for(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word " * 150_000)
    result = run("--file", path, "--max-tier", 1, code=1)
    assert result.stderr.startswith("error: messages: about")
