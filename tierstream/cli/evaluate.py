"""`tierstream evaluate` and `tierstream calibrate`: how good a learned classifier is, and from which score to go up."""

from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.clock import utc_now
from tierstream.cli.connection import load_settings
from tierstream.cli.errors import show_warning
from tierstream.cli.progress import progress_bar
from tierstream.cli.render import show_json
from tierstream.cli.render_evaluation import show_slices, show_thresholds
from tierstream.cli.train import AsJson, ModelFile, Outcomes, Seed, load_model, require_directory
from tierstream.outcome_file import read_outcomes
from tierstream.request_file import InputError

if TYPE_CHECKING:
    from streams.routing.learned.classifier import LearnedClassifier
    from streams.routing.threshold import Thresholds
    from streams.settings import Settings
    from tierstream import routing_report

_INTERRUPTED = "interrupted: nothing was finished"

CrossValidate = Annotated[
    bool, typer.Option("--cross-validate", help="Score each prompt by a model trained without it.")
]
Folds = Annotated[int, typer.Option(min=2, metavar="N", help="Of the cross-validation.")]
Draws = Annotated[int, typer.Option("--bootstrap", min=0, metavar="N", help="Draws for the intervals; 0: none.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Examples: `tierstream evaluate --outcomes outcomes.jsonl.gz --cross-validate` · "
        "`tierstream evaluate --model model.npz --outcomes unseen.jsonl --json`"
    )(evaluate)
    app.command(
        epilog="Examples: `tierstream calibrate --outcomes outcomes.jsonl --target-quality 0.95` · "
        "`tierstream calibrate --model model.npz --outcomes outcomes.jsonl --cross-validate --out model.npz`"
    )(calibrate)


def evaluate(
    outcomes: Outcomes,
    model: ModelFile = None,
    cross_validate: CrossValidate = False,
    folds: Folds = 5,
    bootstrap: Draws = 400,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Evaluate a learned classifier on labelled outcomes, with the metrics of the RouteLLM paper.

    APGR, CPT(50 %), CPT(80 %) and the share of strong calls that keeps 95 % of the stronger model's quality, for each
    benchmark, beside prompt length, chance, the oracle and the paper's own rows. With --cross-validate the outcomes
    themselves are trained on, in folds: prompts that quote one passage stay together, and a second pass holds out
    whole subjects; the model file is not used.
    """
    classifier = None if cross_validate else load_model(model)
    rows = read_outcomes(outcomes)
    from streams.routing.learned.training import TrainingError  # noqa: PLC0415 - NumPy takes a while to import
    from tierstream import routing_report  # noqa: PLC0415

    found = routing_report.Outcomes(rows)
    draws = routing_report.Bootstrap(bootstrap, seed)
    slices: list[routing_report.Slice] = []
    by_subject = found.subject_folds(folds, seed) if cross_validate else None
    try:
        with progress_bar("scoring", _INTERRUPTED) as progress:
            scores = _scores(found, classifier, folds, seed, progress)
        if by_subject is not None:
            with progress_bar("scoring unseen subjects", _INTERRUPTED) as progress:
                unseen = found.out_of_fold(by_subject, seed, progress)
    except TrainingError as error:
        raise InputError(f"{outcomes}: {error}") from None
    with progress_bar("drawing intervals", _INTERRUPTED) as progress:
        named = found.slices()
        for number, (name, chosen) in enumerate(named.items(), 1):
            slices.append(routing_report.evaluate_slice(name, found, chosen, scores, draws))
            progress(number / (len(named) + 1))
        if by_subject is not None:
            held = (by_subject >= 0).nonzero()[0]
            slices.append(routing_report.evaluate_slice(routing_report.UNSEEN, found, held, unseen, draws))
    seen = classifier.trained_on(found.prompts) if classifier else 0
    if as_json:
        version = classifier.version if classifier else None
        show_json({"model": version, "outcomes": len(rows), "trained_on": seen, "slices": [*map(asdict, slices)]})
    else:
        show_slices(slices)
    _warn_of_seen(seen, len(rows))


def calibrate(
    ctx: typer.Context,
    outcomes: Outcomes,
    target_quality: Annotated[
        float, typer.Option(min=0.01, max=1, metavar="SHARE", help="Share of the stronger model's quality to keep.")
    ] = 0.95,
    model: ModelFile = None,
    benchmark: Annotated[str | None, typer.Option(metavar="NAME", help="Only the outcomes of this one.")] = None,
    cautious: Annotated[
        bool, typer.Option("--cautious", help="With --out: keep the threshold that all but 2.5 % of the draws bear.")
    ] = False,
    answer_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Tokens of an answer, for the cost; both models alike.")
    ] = 300,
    out: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Write the model with its threshold to this file.")
    ] = None,
    cross_validate: CrossValidate = False,
    folds: Folds = 5,
    bootstrap: Annotated[int, typer.Option(min=20, metavar="N", help="Draws for the intervals.")] = 400,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Pick the score from which a prompt goes to the stronger model, so that the quality asked for is kept.

    Says what share of calls, what quality and what cost that means, with 95 % intervals. The cost compares the first
    model of the first tier with the frontier model, at the prices of the settings. For a model that was trained on
    these very outcomes take --cross-validate, or the threshold will be too high.
    """
    if out is not None:
        require_directory(out)
    settings = load_settings(ctx)
    classifier = load_model(model)
    rows = [row for row in read_outcomes(outcomes) if benchmark in {None, row.benchmark}]
    if not rows:
        raise InputError(f"{outcomes}: no outcome of benchmark {benchmark!r}")
    from streams.routing.evaluation import Ranking  # noqa: PLC0415
    from streams.routing.learned.training import TrainingError  # noqa: PLC0415
    from streams.routing.threshold import pick_thresholds  # noqa: PLC0415
    from tierstream import routing_report  # noqa: PLC0415

    found = routing_report.Outcomes(rows)
    try:
        with progress_bar("scoring", _INTERRUPTED) as progress:
            scores = _scores(found, None if cross_validate else classifier, folds, seed, progress)
            ranking = Ranking(scores, found.weak, found.strong)
            picked = pick_thresholds(ranking, found.groups, target=target_quality, draws=bootstrap, seed=seed)
    except TrainingError as error:
        raise InputError(f"{outcomes}: {error}") from None
    costs = _costs(settings, found, scores.tolist(), picked, answer_tokens)
    if out is not None:
        classifier.with_threshold((picked.cautious if cautious else picked.expected).score).save(out)
    seen = 0 if cross_validate else classifier.trained_on(found.prompts)
    if as_json:
        figures = {"outcomes": len(rows), "trained_on": seen, "target_quality": target_quality}
        show_json({**figures, **asdict(picked), "cost_usd_per_1000": costs, "out": out and str(out)})
    else:
        show_thresholds(picked, target_quality, costs)
        if out is not None:
            typer.echo(f"{out}: the model with the {'cautious' if cautious else 'expected'} threshold")
    _warn_of_seen(seen, len(rows))


def _scores(
    outcomes: "routing_report.Outcomes",
    classifier: "LearnedClassifier | None",
    folds: int,
    seed: int,
    progress: Callable[[float], None],
) -> Any:  # noqa: ANN401 - NumPy is imported where it is needed
    if classifier is not None:
        return outcomes.scores_of(classifier, progress)
    return outcomes.out_of_fold(outcomes.passage_folds(folds, seed), seed, progress)


def _costs(
    settings: "Settings",
    outcomes: "routing_report.Outcomes",
    scores: list[float],
    picked: "Thresholds",
    answer_tokens: int,
) -> dict[str, float]:
    """Return US dollars for 1,000 such prompts: all to one of the models, and routed by each threshold."""
    from streams.pricing import PriceBook  # noqa: PLC0415
    from streams.tokens import Tokenizer, estimate  # noqa: PLC0415
    from topics.journal import Usage  # noqa: PLC0415

    prices, now = PriceBook(settings.prices, settings.providers), utc_now()
    refs = settings.tiers[0].models[0].ref, settings.frontier_ref
    weak, strong = (prices.rates(ref.partition("/")[0], ref.partition("/")[2], now) for ref in refs)
    usages = [
        Usage(input=estimate(prompt, Tokenizer.OTHER), output=answer_tokens, source="estimated")
        for prompt in outcomes.prompts
    ]
    each = [(weak.cost(usage), strong.cost(usage)) for usage in usages]

    def routed(threshold: float) -> Decimal:
        pairs = zip(each, scores, strict=True)
        return sum((up if score >= threshold else down for (down, up), score in pairs), Decimal(0))

    totals = {
        "all_weak": sum((down for down, _ in each), Decimal(0)),
        "all_strong": sum((up for _, up in each), Decimal(0)),
        "expected": routed(picked.expected.score),
        "cautious": routed(picked.cautious.score),
    }
    return {name: round(float(total) * 1000 / len(each), 4) for name, total in totals.items()}


def _warn_of_seen(seen: int, outcomes: int) -> None:
    if seen:
        show_warning(
            f"the model was trained on {seen} of these {outcomes} prompts, so the figures flatter it: "
            "use other outcomes, or --cross-validate"
        )
