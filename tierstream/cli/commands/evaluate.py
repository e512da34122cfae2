"""`tierstream evaluate`: how good a learned classifier is on labelled outcomes, beside what it has to beat."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tierstream.cli.commands.train import ModelFile, Seed, load_model, require_scikit_learn
from tierstream.cli.connection import load_settings
from tierstream.cli.errors import show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.labelled.evaluate_conversations import LabelledConversations, evaluate_conversations
from tierstream.cli.labelled.inputs import (
    INTERRUPTED,
    AnswerTokens,
    EitherOutcomes,
    LabelledAnswers,
    LabelledRequests,
    require_alone,
    require_one,
    warn_of_seen,
)
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.evaluation import show_control, show_slices
from tierstream.cli.render.results import show_json
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError
from tierstream.training.outcome_file import read_outcomes

if TYPE_CHECKING:
    from streams.routing.learned.classifier import LearnedClassifier
    from tierstream.training import routing_report

_Scored = tuple[str, Any, Any, Any]
"""A slice: its name, its rows, the model's scores and the baseline's."""

_CONTROLS = ("shuffled", "swapped")
_OF_OUTCOMES = ("baseline_outcomes", "control", "repeats")
_OF_REQUESTS = ("boundary", "votes", "answer_tokens")

CrossValidate = Annotated[
    bool, typer.Option("--cross-validate", help="Score each prompt by a model trained without it.")
]
Folds = Annotated[int, typer.Option(min=2, metavar="N", help="Of the cross-validation.")]
Draws = Annotated[int, typer.Option("--bootstrap", min=0, metavar="N", help="Draws for the intervals; 0: none.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream evaluate --outcomes outcomes.jsonl.gz --cross-validate",
            "tierstream evaluate --model model.npz --outcomes unseen.jsonl --baseline-outcomes outcomes.jsonl.gz",
            "tierstream evaluate --outcomes outcomes.jsonl.gz --cross-validate --control shuffled",
            "tierstream evaluate --requests labelled.jsonl --votes",
            "tierstream evaluate --conversations labelled.jsonl",
            "tierstream evaluate --answers answers.jsonl --show-misses",
        )
    )(evaluate)


def evaluate(
    ctx: typer.Context,
    outcomes: EitherOutcomes = None,
    requests: LabelledRequests = None,
    conversations: LabelledConversations = None,
    answers: LabelledAnswers = None,
    model: ModelFile = None,
    baseline_outcomes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the model was trained on, to fit the tf-idf baseline to."),
    ] = None,
    cross_validate: CrossValidate = False,
    control: Annotated[
        str | None,
        typer.Option(metavar="|".join(_CONTROLS), help="With --cross-validate: train on labels that can't help."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Of the control.")] = 3,
    boundary: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="Of requests: from which probability they go up; default: the model's thresholds, else the settings'.",
        ),
    ] = None,
    votes: Annotated[
        bool, typer.Option("--votes", help="Of requests: say what a language model's votes would bring.")
    ] = False,
    answer_tokens: AnswerTokens = 300,
    show_misses: Annotated[
        bool, typer.Option("--show-misses", help="Of answers: print those that the checks are wrong about.")
    ] = False,
    folds: Folds = 5,
    bootstrap: Draws = 400,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Evaluate a classifier, conversation signals or checks of answers on labelled ones.

    Of outcomes it says, with the metrics of the RouteLLM paper, APGR, CPT(50 %), CPT(80 %) and the share of strong
    calls that keeps 95 % of the stronger model's quality, for each benchmark, beside a tf-idf ridge regression, prompt
    length, chance, the oracle and the paper's own rows, with the model's lead over them. With --cross-validate the
    outcomes themselves are trained on, in folds: prompts that quote one passage stay together, and a second pass holds
    out whole subjects; the model file is not used. A control trains on shuffled labels, which has to give an APGR of
    0.5, or on swapped ones, which has to give less.

    Of requests it says which share is on an acceptable tier, too low and too high, how well the probabilities tell the
    tiers apart and how true they are, in all, by language, query type, slice and turns, and by the second labels.

    Of conversations it says which share of the signals that rules can ask for is right, and which share is found, in
    all and by language.

    Of answers it says which share of each kind of bad ones the free checks catch, which good ones they take for bad,
    by check and by language, and how long they take. Texts are printed with --show-misses alone.
    """
    if conversations is not None:
        evaluate_conversations(ctx, conversations, draws=bootstrap, seed=seed, as_json=as_json)
        return
    if answers is not None:
        require_alone(ctx, "answers", ("show_misses", "as_json"))
        from tierstream.cli.labelled.evaluate_answers import evaluate_answers  # noqa: PLC0415 - the checks' patterns

        evaluate_answers(answers, with_misses=show_misses, as_json=as_json)
        return
    if show_misses:
        raise typer.BadParameter("--show-misses belongs to --answers: leave it out")
    require_one(ctx, outcomes, requests, of_outcomes=_OF_OUTCOMES, of_requests=_OF_REQUESTS)
    _check(cross_validate, control, model, baseline_outcomes)
    if cross_validate or baseline_outcomes is not None:
        require_scikit_learn()
    if requests is not None:
        from tierstream.cli.labelled.evaluate_requests import evaluate_requests  # noqa: PLC0415 - imports NumPy

        evaluate_requests(
            load_settings(ctx),
            requests,
            model=model,
            cross_validate=cross_validate,
            boundary=boundary,
            votes=votes,
            answer_tokens=answer_tokens,
            folds=folds,
            draws=bootstrap,
            seed=seed,
            as_json=as_json,
        )
    elif outcomes is not None:
        _evaluate_outcomes(
            outcomes,
            model=model,
            baseline_outcomes=baseline_outcomes,
            cross_validate=cross_validate,
            control=control,
            repeats=repeats,
            folds=folds,
            draws=bootstrap,
            seed=seed,
            as_json=as_json,
        )


def _evaluate_outcomes(
    outcomes: Path,
    *,
    model: Path | None,
    baseline_outcomes: Path | None,
    cross_validate: bool,
    control: str | None,
    repeats: int,
    folds: int,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    classifier = None if cross_validate else load_model(model)
    rows = read_outcomes(outcomes)
    trained = read_outcomes(baseline_outcomes) if baseline_outcomes else None
    from tierstream.training import routing_report  # noqa: PLC0415 - NumPy takes a while to import

    found = routing_report.Outcomes(rows)
    try:
        if control is not None:
            _control(found, control, folds, repeats, seed, as_json)
            return
        if classifier is None:
            scored = _cross_validated(found, folds, seed)
        else:
            scored = _judged(found, classifier, routing_report.Outcomes(trained) if trained else None)
    except TrainingError as error:
        raise InputError(f"{outcomes}: with a fold left out, {error}") from None
    bootstrap = routing_report.Bootstrap(draws, seed)
    slices: list[routing_report.Slice] = []
    with progress_bar("drawing intervals", INTERRUPTED) as progress:
        for number, (name, chosen, scores, baseline) in enumerate(scored, 1):
            slices.append(routing_report.evaluate_slice(name, found, chosen, scores, baseline, bootstrap))
            progress(number / len(scored))
    seen = classifier.trained_on(found.prompts) if classifier else 0
    if as_json:
        version = classifier.version if classifier else None
        show_json({"model": version, "outcomes": len(rows), "trained_on": seen, "slices": [*map(asdict, slices)]})
    else:
        show_slices(slices)
    warn_of_seen(seen, len(rows))


def _check(cross_validate: bool, control: str | None, model: Path | None, baseline_outcomes: Path | None) -> None:
    if control not in {None, *_CONTROLS}:
        raise typer.BadParameter(f"--control is {' or '.join(_CONTROLS)}, not {control!r}")
    if control is not None and not cross_validate:
        raise typer.BadParameter("--control trains anew: give --cross-validate too")
    if cross_validate and model is not None:
        raise typer.BadParameter("--cross-validate trains anew and uses no model file: leave --model out")
    if cross_validate and baseline_outcomes is not None:
        raise typer.BadParameter("--cross-validate fits the baseline in its folds: leave --baseline-outcomes out")


def _cross_validated(found: "routing_report.Outcomes", folds: int, seed: int) -> list[_Scored]:
    """Score by passage, and by subject where there are enough of them."""
    from tierstream.training import routing_report  # noqa: PLC0415

    by_passage, by_subject = found.passage_folds(folds, seed), found.subject_folds(folds, seed)
    scores = _out_of_fold(found, by_passage, seed, "scoring")
    scored = [(name, rows, *scores) for name, rows in found.slices().items()]
    if by_subject is not None:
        scores = _out_of_fold(found, by_subject, seed, "scoring unseen subjects")
        scored.append((routing_report.UNSEEN, (by_subject >= 0).nonzero()[0], *scores))
    return scored


def _out_of_fold(found: "routing_report.Outcomes", dealt: Any, seed: int, title: str) -> tuple[Any, Any]:  # noqa: ANN401
    """Score by models and baselines that were fitted without the fold."""
    from tierstream.training.cross_validation import out_of_fold_baseline  # noqa: PLC0415

    with progress_bar(title, INTERRUPTED) as progress:
        scores = _model_out_of_fold(found, dealt, seed, progress)
        return scores, out_of_fold_baseline(found.prompts, found.strong - found.weak, dealt)


def _judged(
    found: "routing_report.Outcomes", classifier: "LearnedClassifier", training: "routing_report.Outcomes | None"
) -> list[_Scored]:
    """Score by a model, and by the baseline where there is something to fit it to."""
    from tierstream.training import routing_report  # noqa: PLC0415

    with progress_bar("scoring", INTERRUPTED) as progress:
        scores = found.scores_of(classifier, progress)
    if training is None:
        return [(name, rows, scores, None) for name, rows in found.slices().items()]
    from tierstream.training.estimators import baseline_scores  # noqa: PLC0415

    baseline = baseline_scores(training.prompts, training.strong - training.weak, found.prompts)
    if shared := found.shared_with(training):
        show_warning(
            f"{shared} of these {len(found.prompts)} prompts are among --baseline-outcomes, so the figures of the "
            "tf-idf baseline flatter it"
        )
    slices = found.slices()
    if len(unseen := found.unseen_in(training)):
        slices[routing_report.UNSEEN] = unseen
    return [(name, rows, scores, baseline) for name, rows in slices.items()]


def _control(
    found: "routing_report.Outcomes", control: str, folds: int, repeats: int, seed: int, as_json: bool
) -> None:
    from tierstream.training.cross_validation import Control, evaluate_control  # noqa: PLC0415

    with progress_bar(f"training on {control} labels", INTERRUPTED) as progress:
        slices = evaluate_control(
            found, Control(control), folds=folds, repeats=repeats, seed=seed, on_progress=progress
        )
    if as_json:
        show_json({"control": control, "outcomes": len(found.prompts), "slices": [*map(asdict, slices)]})
    else:
        show_control(slices, control)


def scores_of(
    outcomes: "routing_report.Outcomes",
    classifier: "LearnedClassifier | None",
    folds: int,
    seed: int,
    progress: Callable[[float], None],
) -> Any:  # noqa: ANN401 - NumPy is imported where it is needed
    """Score by the classifier, or by others that were trained without the prompt."""
    if classifier is not None:
        return outcomes.scores_of(classifier, progress)
    return _model_out_of_fold(outcomes, outcomes.passage_folds(folds, seed), seed, progress)


def _model_out_of_fold(
    outcomes: "routing_report.Outcomes",
    dealt: Any,  # noqa: ANN401 - as above
    seed: int,
    progress: Callable[[float], None],
) -> Any:  # noqa: ANN401
    from tierstream.training.cross_validation import out_of_fold_scores  # noqa: PLC0415 - needs the extra `train`
    from tierstream.training.fit_model import TrainingOptions  # noqa: PLC0415

    options = TrainingOptions(seed=seed)
    return out_of_fold_scores(outcomes.prompts, outcomes.weak, outcomes.strong, dealt, options, progress)
