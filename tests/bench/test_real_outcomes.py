"""End to end on real outcomes: what a router keeps and saves on questions that its model was not trained on; printed.

The simulator answers each question as rightly or wrongly as two real models did, whose outcomes
TIERSTREAM_OUTCOMES names (a file as `tierstream train` reads it).
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from support.deployment import Deployment
from support.embedded_kafka import EmbeddedKafka
from support.equal_cost import COMPUTED, DRAWS, SEED, STACK, Figures, Known, figures

from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.router import Draft
from tierstream.client.request_run import run_requests
from tierstream.simulator.filler import generic_text
from tierstream.simulator.server import RunningSimulator
from tierstream.training.cross_validation import out_of_fold_scores
from tierstream.training.evaluation import Array, Ranking, draw_metrics, intervals
from tierstream.training.fit_model import train
from tierstream.training.folds import deal_groups
from tierstream.training.outcome_file import LabelledOutcome, read_outcomes
from tierstream.training.routing_report import Outcomes
from tierstream.training.threshold import pick_thresholds
from tierstream.worker import new_router
from topics.journal import CallEnded
from topics.registry import RESULTS
from topics.requests import Request
from topics.results import Result

QUESTIONS = int(os.environ.get("TIERSTREAM_BENCH_QUESTIONS", "1000"))
CLASSIFIER = os.environ.get("TIERSTREAM_BENCH_CLASSIFIER", "learned")
TARGETS = (0.95, 0.9)
"""Shares of the frontier's quality that the model is calibrated to, each in a run of its own."""
SHARES = (0.25, 0.5, 0.75)
"""Shares of calls to the frontier at which the curve is shown."""
ACCURACY = float(os.environ.get("TIERSTREAM_BENCH_ACCURACY", "0.5"))
"""How often the simulated language model of "cascade" and "llm" is right on whether the cheap model is: 0.5 is a coin.
What a real one knows, no outcomes tell, so those two classifiers show what is paid and not what is gained."""
FOLDS = 3
RATE = 50
"""Requests a second: with all at once, no vote of a language model would be in time."""
RIGHT = 0.5
"""From which quality on an answer counts as right."""
CHEAP, FRONTIER = "openai/gpt-oss-120b", "claude-opus-5-5"
TIERS = f"""
[[tiers]]
name = "everything else"
models = [{{ provider = "groq", model = "{CHEAP}", timeout_s = 60 }}]

[[tiers]]
name = "frontier"
models = [{{ provider = "anthropic", model = "{FRONTIER}", timeout_s = 60 }}]
"""


def config(model: Path) -> str:
    routing = {"preset": "two-tier", "classifier": CLASSIFIER, "model": str(model)}
    return "\n".join(["[routing]", *(f"{name} = {json.dumps(value)}" for name, value in routing.items()), TIERS])


@pytest.fixture(scope="module")
def outcomes() -> list[LabelledOutcome]:
    name = os.environ.get("TIERSTREAM_OUTCOMES")
    if not name:
        pytest.skip("TIERSTREAM_OUTCOMES names no file of labelled outcomes")
    return read_outcomes(Path(name))


def hold_out(rows: list[LabelledOutcome]) -> tuple[list[LabelledOutcome], list[LabelledOutcome]]:
    """Draw the questions to ask and those to train on; what quotes the same passage is on one side."""
    groups = Outcomes(rows).groups
    drawn: list[int] = []
    order = np.random.default_rng(SEED).permutation(int(groups.max()) + 1)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    for group in order:
        if len(drawn) + len(members[group]) <= QUESTIONS:
            drawn.extend(members[group].tolist())
    asked = set(drawn)
    return [rows[i] for i in sorted(asked)], [row for i, row in enumerate(rows) if i not in asked]


@dataclass(frozen=True)
class TrainedModel:
    """A model file, and the score that it was calibrated to."""

    name: str
    path: Path
    threshold: float | None


def trained(rows: list[LabelledOutcome], folder: Path) -> list[TrainedModel]:
    """Train on the outcomes, and calibrate with scores of models that did not see the question."""
    columns = Outcomes(rows)
    model = train(columns.prompts, columns.weak, columns.strong)
    folds = deal_groups(columns.groups, FOLDS, SEED)
    scores = out_of_fold_scores(columns.prompts, columns.weak, columns.strong, folds)
    ranking = Ranking(scores, columns.weak, columns.strong)
    thresholds: dict[str, float | None] = {"as trained": None}
    for target in TARGETS:
        picked = pick_thresholds(ranking, columns.groups, target=target, draws=200, seed=SEED)
        thresholds[f"calibrated to {target:.0%}"] = picked.expected.score
    found = []
    for number, (name, threshold) in enumerate(thresholds.items()):
        path = folder / f"model-{number}.npz"
        (model if threshold is None else model.with_threshold(threshold)).save(path)
        found.append(TrainedModel(name, path, threshold))
    return found


@dataclass(frozen=True)
class Exam:
    """The questions that are asked, and how an answer is told to be right."""

    rows: Sequence[LabelledOutcome]

    def key(self, number: int) -> str:
        """The end of a right answer: a letter that stands for the real one, which the outcomes do not tell."""
        return f"Answer: {'ABCD'[number % 4]}"

    def script(self) -> str:
        """What either model answers: the same words, as many for both, and at the end the right letter or not."""
        lines = []
        for number, row in enumerate(self.rows):
            words = generic_text(row.prompt)
            is_right = row.weak_correct >= RIGHT
            right, wrong = (f"{words}\n{self.key(number + shift)}" for shift in (0, 1))
            answers = {
                CHEAP: right if is_right else wrong,
                FRONTIER: right if row.strong_correct >= RIGHT else wrong,
            }
            lines.append(
                json.dumps({"prompt": row.prompt, "label": 1 if is_right else 2, "answer": right, "answers": answers})
            )
        return "\n".join(lines)

    def requests(self, **fields: object) -> list[Request]:
        return [
            Request.model_validate(
                {"request_id": row.id, "messages": [{"role": "user", "content": row.prompt}], **fields}
            )
            for row in self.rows
        ]

    def right(self, results: Sequence[Result]) -> Array:
        found = (str(result.content).endswith(self.key(number)) for number, result in enumerate(results))
        return np.array([*found], dtype=np.float64)


async def ask(deployment: Deployment, requests: list[Request]) -> list[Result]:
    """Send the requests through Kafka and a worker of their own; return the results in the same order."""
    taken: dict[str, Result] = {}
    async with deployment.running():
        await deployment.start_worker()
        report = await run_requests(
            deployment.settings,
            requests,
            on_result=lambda result: taken.update({result.request_id: result}),
            timeout_s=60,
            rate=RATE,
        )
        await deployment.quiet()
        published = await deployment.read(RESULTS)
        journal = await deployment.journal()
    assert (report.missing, report.duplicates, dict(report.statuses)) == ((), 0, {"ok": len(requests)})
    assert sorted(result.request_id for result in published) == sorted(request.request_id for request in requests)
    # Not by call: requests that share one each have their part of it in the journal.
    ended = [record for record in journal.records if isinstance(record, CallEnded)]
    paid = sum((part.cost_usd for part in ended), Decimal(0))
    assert sum((result.cost_usd for result in taken.values()), Decimal(0)) == paid
    print(f"{len(requests)} requests in {report.elapsed_s:.1f} s, ${paid}")
    return [taken[request.request_id] for request in requests]


@dataclass(frozen=True)
class Run:
    """All questions once through the stack.

    Attributes:
        up: (questions,) 1 where the frontier answered.
        paid: (questions,) US dollars.
        margins: (questions,) How far the probability of needing the frontier is above the boundary, before any vote
            of a language model.
    """

    up: Array
    paid: Array
    margins: Array


class Course:
    """The same questions to one deployment after the other."""

    def __init__(
        self, kafka: EmbeddedKafka, simulator: RunningSimulator, folder: Path, asked: list[LabelledOutcome]
    ) -> None:
        self.exam, self.columns = Exam(asked), Outcomes(asked)
        self._kafka, self._simulator, self._folder = kafka, simulator, folder
        simulator.script.add_lines(self.exam.script(), "outcomes")

    def _deployment(self, name: str, model: Path) -> Deployment:
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir()
        servers = self._kafka.bootstrap_servers
        return Deployment(servers, folder, simulator_url=self._simulator.url, config=config(model))

    async def pinned(self, model: Path) -> Known:
        """Ask each of the two models everything."""
        cheap = await ask(self._deployment("cheap", model), self.exam.requests(max_tier=1))
        dear = await ask(self._deployment("frontier", model), self.exam.requests(min_tier=2))
        weak, strong = self.exam.right(cheap), self.exam.right(dear)
        assert weak.tolist() == (self.columns.weak >= RIGHT).tolist()
        assert strong.tolist() == (self.columns.strong >= RIGHT).tolist()
        return Known(weak, strong, costs(cheap), costs(dear), self.columns.groups)

    async def routed(self, name: str, model: Path, known: Known) -> Run:
        """Let the router decide, and hold what came of it against what it decides without the stack."""
        deployment, requests = self._deployment(name, model), self.exam.requests()
        results = await ask(deployment, requests)
        up, paid = np.array([result.tier == 2 for result in results], dtype=np.float64), costs(results)
        assert self.exam.right(results).tolist() == np.where(up, known.strong, known.weak).tolist()
        drafts = drafted(deployment.settings, requests)
        for result, draft, cost, answer_cost in zip(
            results, drafts, paid, np.where(up, known.dear, known.cheap), strict=True
        ):
            # What a language model is asked about may come out otherwise, and costs more.
            assert draft.asks or (result.tier, cost) == (draft.decision.tier, answer_cost)
        if asked := sum(draft.asks for draft in drafts):
            moved = sum(draft.decision.tier != result.tier for draft, result in zip(drafts, results, strict=True))
            print(f"{name}: a language model may be asked about {asked} of them; {moved} went elsewhere for it")
        margins = [1 - draft.decision.scores[0] - draft.decision.boundary[0] for draft in drafts]
        return Run(up, paid, np.array(margins))


def costs(results: Sequence[Result]) -> Array:
    return np.array([float(result.cost_usd) for result in results])


def drafted(settings: Settings, requests: list[Request]) -> list[Draft]:
    router = new_router(settings, EligibleModels(settings))
    return [router.draft(request, request.digest(), 0) for request in requests]


def boundary_moved(margins: Array, share: float) -> Array:
    """Choose for the frontier what the router would with its boundary moved until it takes this share."""
    up = np.zeros(len(margins))
    up[np.argsort(-margins, kind="stable")[: round(share * len(margins))]] = 1
    return up


def test_the_comparison_with_chance_by_hand():
    weak, strong = np.array([1.0, 1, 0, 0]), np.array([1.0, 1, 1, 0])
    known = Known(weak, strong, cheap=np.full(4, 1.0), dear=np.full(4, 5.0), groups=np.arange(4))
    found = figures("the right one", COMPUTED, known, np.array([0, 0, 1, 0]))
    # The one that the frontier gains is found for a quarter of what it costs more; a coin finds it in a quarter.
    assert (found.quality, found.of_frontier_quality, found.cost, found.of_frontier_cost) == (0.75, 1, 2000, 0.4)
    assert found.gain == pytest.approx(0.75 - (0.5 + 0.25 / 4))
    assert found.random == pytest.approx(0.5 + 0.25 / 4, abs=0.01)
    assert (found.random_interval.low, found.random_interval.high) == (0.5, 0.75)


@pytest.mark.timeout(1200)
async def test_routing_on_real_outcomes(kafka, simulator, tmp_path, outcomes):
    if CLASSIFIER in {"llm", "cascade"}:
        simulator.set_behaviour(classify_accuracy=ACCURACY)
    asked, rest = hold_out(outcomes)
    assert len(asked) == QUESTIONS
    models = trained(rest, tmp_path)
    course = Course(kafka, simulator, tmp_path, asked)
    known = await course.pinned(models[0].path)
    rows = [
        figures("all to the cheap model", STACK, known, np.zeros(QUESTIONS)),
        figures("all to the frontier", STACK, known, np.ones(QUESTIONS)),
        figures("oracle: knows both answers", COMPUTED, known, known.strong > known.weak),
    ]
    parts, rankings = [], {}
    scores = LearnedClassifier.load(models[0].path).score_many(course.columns.prompts)
    for model in models:
        name = f"{CLASSIFIER}, {model.name}"
        run = await course.routed(name, model.path, known)
        rows.append(figures(name, STACK, known, run.up, run.paid))
        for part, at in course.columns.slices().items():
            parts.append(figures(f"{part}: {name}", STACK, known.at(at), run.up[at], run.paid[at]))
        rankings[name] = Ranking(run.margins, known.weak, known.strong)
        if model.threshold is not None:
            above = np.array(scores) >= model.threshold
            rows.append(figures("  by the model's score alone", COMPUTED, known, above))
        else:
            for share in SHARES:
                up = boundary_moved(run.margins, share)
                rows.append(figures(f"  boundary moved to {share:.0%}", COMPUTED, known, up))
    rankings["the model's score alone"] = Ranking(scores, known.weak, known.strong)
    show(f"{QUESTIONS} questions: Mixtral's and GPT-4's answers at the prices of {CHEAP} and {FRONTIER}", rows)
    show("By benchmark", parts)
    show_rankings(rankings, known)
    print(json.dumps({"rows": [asdict(row) for row in rows], "parts": [asdict(part) for part in parts]}))


def show(title: str, rows: Sequence[Figures]) -> None:
    table = Table(title=title)
    for name in ("", "from"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "frontier", "right", "relative", "$/1,000", "relative", "random, as dear (95 %)"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("above random (95 %)", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            row.source,
            str(row.questions),
            f"{row.frontier_share:.1%}",
            f"{row.quality:.1%}",
            f"{row.of_frontier_quality:.1%}",
            f"{row.cost:.3f}",
            f"{row.of_frontier_cost:.1%}",
            f"{row.random:.1%} ({row.random_interval.low:.1%} to {row.random_interval.high:.1%})",
            f"{row.gain * 100:+.1f} ({row.gain_interval.low * 100:+.1f} to {row.gain_interval.high * 100:+.1f})",
        )
    Console(width=160).print(table)


def show_rankings(rankings: dict[str, Ranking], known: Known) -> None:
    """Print how well each orders the questions, wherever the boundary is."""
    table = Table(title="The order in which questions go to the frontier (computed)")
    for name in ("by", "APGR (95 %)", "frontier calls for 95 % of its quality (95 %)"):
        table.add_column(name)
    for name, ranking in rankings.items():
        metrics = ranking.metrics()
        found = intervals([drawn for (drawn,) in draw_metrics([ranking], known.consecutive_groups, DRAWS, SEED)])
        assert found is not None
        table.add_row(
            name,
            f"{metrics.apgr:.3f} ({found.apgr.low:.3f} to {found.apgr.high:.3f})",
            f"{metrics.share95:.1%} ({found.share95.low:.1%} to {found.share95.high:.1%})",
        )
    Console(width=160).print(table)
