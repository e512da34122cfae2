"""A deployment learns from its own traffic: labels, a candidate, its approval, and the way back when it is worse."""

import asyncio
import json
import re
import signal
import sys
from decimal import Decimal
from uuid import uuid4

import pytest
from support.deployment import Deployment
from typer.testing import CliRunner

from analytics.clickhouse import open_client
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from streams.routing.request_classifier.classifier import RequestClassifier
from tierstream.cli import app
from tierstream.cli.model_orders import model_record, read_state
from tierstream.cli.promotions import propose, step
from tierstream.training.candidate import model_file
from topics.control import version_of
from topics.events import Hop, Hops
from topics.journal import attempt_id
from topics.learned import Promotion
from topics.messages import Message
from topics.registry import HOPS, REQUESTS, RESULTS, tier_tasks
from topics.requests import Request
from topics.results import Result, ResultStatus
from topics.tasks import Attempt, Source

HARD = ("summarise the gizmo ledger for {}", "balance the frobnicator of {}", "list the quux entries of {}")
EASY = ("say hello to {}", "what is the capital of {}", "translate thanks into {}")
PLACES = ("Norway", "Peru", "Chad", "Fiji", "Cuba", "Oman", "Laos", "Mali")
REQUESTS_OF_A_KIND = 150
SHIPPED = RequestClassifier.shipped().version


@pytest.fixture
async def deployment(kafka, clickhouse_url, tmp_path, monkeypatch):
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    config = (
        f'[clickhouse]\nurl = "{clickhouse_url}"\nflush_interval_s = 0.1\n'
        "[learning]\nmin_held = 20\ncheck_s = 0.2\ninterval_s = 3600\n"
    )
    # No request is sent on to a provider.
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url="http://127.0.0.1:9", config=config)
    async with made.running():
        yield made


def asked(kind, number):
    text = kind[number % len(kind)].format(f"{PLACES[number % len(PLACES)]} {number}")
    return Request(
        request_id=f"r{uuid4().hex[:12]}", messages=(Message(role="user", content=text),), user_id=f"u{number % 40}"
    )


class History:
    """Requests that were answered, as the stages tell it."""

    def __init__(self, deployment, publisher):
        self._settings = deployment.settings
        self._publisher = publisher
        self.labels = 0

    async def add(self, request, *outcomes, classifier):
        """Publish a request with its result and its hops.

        Args:
            request: What was asked.
            outcomes: Of the tiers that it was sent to, from the first: a failed check, or the judge's verdict.
            classifier: That decided it.
        """
        [delivered] = await self._publisher.publish([Output(REQUESTS, request)])
        source = Source(
            topic=REQUESTS.full_name(self._settings.kafka.prefix),
            partition=delivered.partition,
            offset=delivered.offset,
            timestamp_ms=delivered.timestamp_ms,
        )
        hops, route = [self._hop("classify", "routed", 1, classifier=classifier)], []
        for tier, outcome in enumerate(outcomes, 1):
            model = self._settings.tiers[tier - 1].models[0]
            is_judged = outcome.startswith("judge")
            answer = "ok" if is_judged else outcome
            hops.append(self._hop(f"infer:{tier}", answer, tier, provider=model.provider, model=model.model))
            if is_judged:
                hops.append(self._hop("validate", outcome, tier, provider="judging", model="judge"))
            if tier < len(outcomes):
                hops.append(self._hop("escalate", "escalated", tier + 1, detail=f"check: {outcome}"))
            route.append(self._attempt(request, tier, model, answer))
        result = Result(
            request_id=request.request_id,
            source=source,
            status=ResultStatus.OK,
            attempt_id=route[-1].attempt_id,
            content="an answer",
            tier=len(outcomes),
            provider=route[-1].provider,
            model=route[-1].model,
            cost_usd=Decimal(0),
            latency_ms=1.0,
            route=tuple(route),
            settled_at=utc_now(),
            user_id=request.user_id,
            query_type="other",
        )
        told = Hops(request_id=request.request_id, hops=tuple(hops))
        await self._publisher.publish([Output(RESULTS, result), Output(HOPS, told)])
        self.labels += len(outcomes)

    @staticmethod
    def _hop(stage, outcome, tier, **more):
        return Hop(
            stage=stage, started_at=utc_now(), ended_at=utc_now(), queue_ms=0, outcome=outcome, tier=tier, **more
        )

    @staticmethod
    def _attempt(request, tier, model, outcome):
        return Attempt(
            attempt_id=attempt_id(request.request_id, 0, f"infer:{tier}", 1),
            stage=f"infer:{tier}",
            tier=tier,
            provider=model.provider,
            model=model.model,
            why="classified",
            outcome=outcome,
            cost_usd=Decimal(0),
            provider_ms=1.0,
        )


async def until_labelled(deployment, count):
    """Wait for the sink."""
    async with open_client(deployment.settings.clickhouse.url) as client:
        while True:
            deployment.check()
            counts = await client.query(
                "SELECT (SELECT count() FROM tierstream.labels), "
                "(SELECT uniqExact(request_id) FROM tierstream.requests), "
                "(SELECT uniqExact(request_id) FROM tierstream.hops)"
            )
            labels, results, told = counts.result_rows[0]
            if labels == count and results == told:
                return
            await asyncio.sleep(0.1)


async def run(deployment, *arguments, code=0):
    arguments = ["--config", str(deployment.config), *map(str, arguments)]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == code, result.output + str(result.exception)
    return json.loads(result.stdout) if "--json" in arguments else result.output


def words(text):
    """What a box of the command line says, in one line."""
    return " ".join(text.replace("│", " ").split())


async def decided_by(deployment, request):
    """Send a request, and return who decided it."""
    await deployment.send([request])
    while True:
        deployment.check()
        for tier in (1, 2, 3):
            for task in await deployment.read(tier_tasks(tier)):
                if task.request.request_id == request.request_id:
                    return task.decision.classifier, tier


async def rolled_back_by_watch(deployment):
    """Run `learn watch` until it has rolled a model back; then it is interrupted."""
    command = (sys.executable, "-m", "tierstream", "learn", "watch")
    process = await asyncio.create_subprocess_exec(
        *command,
        env=deployment.environment(PYTHONUNBUFFERED="1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async for line in process.stdout:
            if b"rolled back" in line:
                process.send_signal(signal.SIGINT)
                said = line.decode()
                _, errors = await process.communicate()
                assert (process.returncode, errors) == (0, b"stopped\n")
                return said
        raise AssertionError((await process.stderr.read()).decode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def a_page(model, before="configured"):
    """A proposed model that differs from the shipped one by its thresholds."""
    file = model_file(model)
    at = utc_now()
    return Promotion(
        version=version_of(file),
        classifier=model.version,
        before=before,
        before_classifier=SHIPPED,
        period_since=at,
        period_until=at,
        labels=(),
        trained_on=0,
        held_back=0,
        missing=0,
        figures=(),
        steps=(step("proposed", "it costs less"),),
    )


async def test_a_proposal_is_superseded_vetoed_or_out_of_date(deployment):
    settings = deployment.settings
    models = [RequestClassifier.shipped().with_thresholds((at, at)) for at in (0.4, 0.5, 0.6)]
    pages = [a_page(model) for model in models]
    for model, page in zip(models, pages, strict=True):
        await propose(settings, model_record(model_file(model), "it", settings, note=None, by="learn"), page)
    first, second, third = [page.version for page in pages]
    states = {version: page.state for version, page in (await read_state(settings)).promotions.items()}
    assert states == {first: "rejected", second: "rejected", third: "proposed"}
    assert set((await read_state(settings)).models) == {third}
    assert "is not proposed: learn has it rejected" in await run(deployment, "models", "approve", first, code=2)
    assert "only what `tierstream learn` has trained" in words(
        await run(deployment, "models", "show", "0" * 12, code=2)
    )

    await run(deployment, "models", "activate", "shipped", "--in", 0)
    assert "but shipped decides now" in await run(deployment, "models", "approve", third, code=2)
    vetoed = await run(deployment, "models", "reject", third, "--reason", "not in December", "--json")
    assert (vetoed["state"], vetoed["steps"][-1]["reason"]) == ("rejected", "not in December")
    assert not (await read_state(settings)).models


@pytest.mark.slow
async def test_labels_make_a_model_that_is_approved_and_rolled_back_when_it_is_worse(deployment, tmp_path):
    await deployment.start("sink")
    await deployment.start_worker("classify")
    async with Publisher(deployment.kafka) as publisher:
        history = History(deployment, publisher)
        for number in range(REQUESTS_OF_A_KIND):
            await history.add(asked(EASY, number), "judge_pass", classifier=SHIPPED)
            await history.add(asked(HARD, number), "hedge", "judge_pass", classifier=SHIPPED)
        await until_labelled(deployment, history.labels)

        page = await run(deployment, "learn", "train", "--json")
        version = page["version"]
        assert (page["state"], page["kept"], page["before"], page["missing"]) == ("proposed", True, "configured", 0)
        assert page["before_classifier"] == SHIPPED
        assert {one["source"]: one["labels"] for one in page["labels"]} == {"check": 150, "judge": 300}
        assert page["trained_on"] + page["held_back"] == 2 * REQUESTS_OF_A_KIND
        assert page["held_back"] >= 20
        [usd, *_] = page["figures"]
        assert usd["high"] < 0
        probe = asked(HARD, 1001)
        assert await decided_by(deployment, probe) == (SHIPPED, 1)

        # The same labels make the same model; nothing is proposed twice.
        assert (await run(deployment, "learn", "train", "--json"))["version"] == version
        file = tmp_path / "model.npz"
        trained = await run(deployment, "train", "--from-clickhouse", "--since", "1h", "--out", file, "--json")
        assert (trained["version"], version_of(file.read_bytes())) == (page["classifier"], version)
        assert (trained["requests"], trained["labels"]) == (page["trained_on"], 450)
        html = tmp_path / "page.html"
        assert "written" in await run(deployment, "models", "show", version, "--html", html)
        assert version in html.read_text()
        await run(deployment, "models", "approve", version, "--in", 0)
        shown = await run(deployment, "models", "show", version, "--json")
        assert [one["state"] for one in shown["steps"]] == ["proposed", "promoted"]
        while (decided := await decided_by(deployment, asked(HARD, 1002)))[0] == SHIPPED:
            pass
        assert decided == (page["classifier"], 2)

        for number in range(80):
            await history.add(asked(EASY, 2000 + number), "hedge", "judge_pass", classifier=page["classifier"])
        await until_labelled(deployment, history.labels)
        assert re.search(rf"{version} rolled back: failed checks: 100.0% ", await rolled_back_by_watch(deployment))

    while (await decided_by(deployment, asked(HARD, 1003)))[0] != SHIPPED:
        pass
    steps = (await run(deployment, "report", "learning", "--json"))["steps"]
    assert [(one["state"], one["version"]) for one in steps] == [
        (state, version) for state in ("proposed", "promoted", "rolled_back")
    ]
    shown = await run(deployment, "models", "show", "--json")
    assert [one["version"] for one in shown["versions"] if one["role"] == "active"] == ["configured"]
