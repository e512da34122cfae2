"""`tierstream calibrate`: from which score a prompt goes to a stronger tier, for the quality that is asked for."""

from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierstream.cli.commands.evaluate import CrossValidate, Folds, scores_of
from tierstream.cli.commands.train import (
    ModelFile,
    Seed,
    load_model,
    require_directory,
    require_scikit_learn,
)
from tierstream.cli.connection import load_settings
from tierstream.cli.help_text import examples
from tierstream.cli.labelled.inputs import (
    INTERRUPTED,
    AnswerTokens,
    EitherOutcomes,
    LabelledRequests,
    require_one,
    warn_of_seen,
)
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.evaluation import show_thresholds
from tierstream.cli.render.results import show_json
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError
from tierstream.training.outcome_file import read_outcomes

if TYPE_CHECKING:
    from streams.config.settings import Settings
    from tierstream.training.threshold import Thresholds
    from topics.journal import Rates

_OF_OUTCOMES = ("target_quality", "benchmark", "tiers", "cautious", "weak_model", "strong_model")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream calibrate --outcomes outcomes.jsonl --target-quality 0.95",
            "tierstream calibrate --model model.npz --outcomes outcomes.jsonl --tiers 1:2 --out model.npz",
            "tierstream calibrate --outcomes outcomes.jsonl.gz --cross-validate --weak-model openai/gpt-5.4-mini",
            "tierstream calibrate --requests labelled.jsonl --wrong-answer-usd 0.02 --out model.npz",
        )
    )(calibrate)


def calibrate(
    ctx: typer.Context,
    outcomes: EitherOutcomes = None,
    requests: LabelledRequests = None,
    target_quality: Annotated[
        float, typer.Option(min=0.01, max=1, metavar="SHARE", help="Share of the stronger model's quality to keep.")
    ] = 0.95,
    model: ModelFile = None,
    benchmark: Annotated[str | None, typer.Option(metavar="NAME", help="Only the outcomes of this one.")] = None,
    tiers: Annotated[
        str | None,
        typer.Option(
            metavar="LOWER:UPPER", help="Which tiers the two models stand for; default: the first and the last."
        ),
    ] = None,
    cautious: Annotated[
        bool, typer.Option("--cautious", help="With --out: keep the threshold that all but 2.5 % of the draws bear.")
    ] = False,
    weak_model: Annotated[
        str | None,
        typer.Option(metavar="REF", help="For the cost, as provider/model; default: the lower tier's first."),
    ] = None,
    strong_model: Annotated[
        str | None, typer.Option(metavar="REF", help="The same for the stronger one; default: the upper tier's first.")
    ] = None,
    wrong_answer_usd: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Of requests: what a wrong answer costs.")
    ] = None,
    answer_tokens: AnswerTokens = 300,
    out: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Write the model with what was picked to this file.")
    ] = None,
    cross_validate: CrossValidate = False,
    folds: Folds = 5,
    bootstrap: Annotated[int, typer.Option(min=20, metavar="N", help="Draws for the intervals.")] = 400,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Pick from which score a prompt or request goes to a stronger tier, for a quality or the least cost.

    Of outcomes it says what share of calls, what quality and what cost that means, with 95 % intervals. With --out the
    threshold is kept in a model file, for every step between the two tiers, and the thresholds of other steps stay: run
    it once for each pair of tiers that there are outcomes of. For a model that was trained on these very outcomes take
    --cross-validate, or the threshold will be too high.

    Of requests it picks the probabilities from which a request goes up, so that calls and wrong answers
    (from a tier below the lowest acceptable one) cost least: one for all steps, and one for each, which --out keeps.
    """
    require_one(ctx, outcomes, requests, of_outcomes=_OF_OUTCOMES, of_requests=("wrong_answer_usd",))
    if cross_validate:
        require_scikit_learn()
    if out is not None:
        require_directory(out)
    settings = load_settings(ctx)
    if requests is not None:
        if wrong_answer_usd is None:
            raise typer.BadParameter("--requests needs --wrong-answer-usd: what a wrong answer costs")
        from tierstream.cli.labelled.calibrate_requests import calibrate_requests  # noqa: PLC0415 - imports NumPy

        calibrate_requests(
            settings,
            requests,
            wrong_answer_usd=wrong_answer_usd,
            model=model,
            out=out,
            cross_validate=cross_validate,
            answer_tokens=answer_tokens,
            folds=folds,
            draws=bootstrap,
            seed=seed,
            as_json=as_json,
        )
    elif outcomes is not None:
        _calibrate_outcomes(
            settings,
            outcomes,
            target_quality=target_quality,
            model=model,
            benchmark=benchmark,
            tiers=tiers,
            cautious=cautious,
            weak_model=weak_model,
            strong_model=strong_model,
            answer_tokens=answer_tokens,
            out=out,
            cross_validate=cross_validate,
            folds=folds,
            draws=bootstrap,
            seed=seed,
            as_json=as_json,
        )


def _calibrate_outcomes(
    settings: "Settings",
    outcomes: Path,
    *,
    target_quality: float,
    model: Path | None,
    benchmark: str | None,
    tiers: str | None,
    cautious: bool,
    weak_model: str | None,
    strong_model: str | None,
    answer_tokens: int,
    out: Path | None,
    cross_validate: bool,
    folds: int,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    lower, upper = _steps(tiers, settings.top_tier)
    refs = (
        weak_model or settings.tiers[lower - 1].models[0].ref,
        strong_model or (settings.frontier_ref if tiers is None else settings.tiers[upper - 1].models[0].ref),
    )
    from tierstream.training.call_prices import rates_of  # noqa: PLC0415 - takes a while to import

    rates = [rates_of(settings, ref) for ref in refs]
    classifier = load_model(model)
    rows = [row for row in read_outcomes(outcomes) if benchmark in {None, row.benchmark}]
    if not rows:
        raise InputError(f"{outcomes}: no outcome of benchmark {benchmark!r}")
    from tierstream.training import routing_report  # noqa: PLC0415
    from tierstream.training.evaluation import Ranking  # noqa: PLC0415 - NumPy takes a while to import
    from tierstream.training.threshold import pick_thresholds  # noqa: PLC0415

    found = routing_report.Outcomes(rows)
    if found.strong.mean() <= found.weak.mean():
        raise InputError(
            f"{outcomes}: the stronger model is no better on these outcomes: there is nothing to calibrate"
        )
    try:
        with progress_bar("scoring", INTERRUPTED) as progress:
            scores = scores_of(found, None if cross_validate else classifier, folds, seed, progress)
            ranking = Ranking(scores, found.weak, found.strong)
            picked = pick_thresholds(ranking, found.groups, target=target_quality, draws=draws, seed=seed)
    except TrainingError as error:
        raise InputError(f"{outcomes}: with a fold left out, {error}") from None
    costs = _costs(rates, found.prompts, scores.tolist(), picked, answer_tokens)
    if out is not None:
        classifier.with_threshold((picked.cautious if cautious else picked.expected).score, lower, upper).save(out)
    seen = 0 if cross_validate else classifier.trained_on(found.prompts)
    if as_json:
        figures = {
            "outcomes": len(rows),
            "trained_on": seen,
            "target_quality": target_quality,
            "tiers": [lower, upper],
            "models": [*refs],
        }
        show_json({**figures, **asdict(picked), "cost_usd_per_1000": costs, "out": out and str(out)})
    else:
        show_thresholds(picked, target_quality, costs, refs)
        typer.echo(_advice(out, lower, upper, "cautious" if cautious else "expected"))
    warn_of_seen(seen, len(rows))


def _steps(tiers: str | None, top: int) -> tuple[int, int]:
    """Read `--tiers`.

    Raises:
        BadParameter: They are no two tiers of the settings, the lower one first.
    """
    if tiers is None:
        return 1, max(top, 2)
    lower, _, upper = tiers.partition(":")
    if not (lower.isdecimal() and upper.isdecimal() and 1 <= int(lower) < int(upper) <= top):
        raise typer.BadParameter(f"--tiers {tiers!r}: give two of the tiers 1 to {top}, the lower one first, as in 1:2")
    return int(lower), int(upper)


def _advice(out: Path | None, lower: int, upper: int, kept: str) -> str:
    steps = "step" if upper == lower + 1 else "steps"
    if out is None:
        return f"nothing was written: --out keeps the threshold, for the {steps} from tier {lower} to {upper}"
    return (
        f"{out}: the model with the {kept} threshold for the {steps} from tier {lower} to {upper}\n"
        f"let it decide with `tierstream models publish {out} --activate`, or name it as routing.model"
    )


def _costs(
    rates: "list[Rates]", prompts: list[str], scores: list[float], picked: "Thresholds", answer_tokens: int
) -> dict[str, float]:
    """Return US dollars for 1,000 such prompts: all to one of the models, and routed by each threshold."""
    from tierstream.training.call_prices import call_costs  # noqa: PLC0415 - NumPy takes a while to import

    each = call_costs(rates, prompts, answer_tokens)

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
