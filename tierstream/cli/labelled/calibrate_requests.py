"""`tierstream calibrate --requests`: the probabilities from which a request goes up, by what decisions cost."""

from dataclasses import asdict
from pathlib import Path

import typer

from streams.config.settings import Settings
from tierstream.cli.labelled.inputs import INTERRUPTED, load_request_model, scores_of_requests, warn_of_seen
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.labelled_requests import show_choice
from tierstream.cli.render.results import show_json
from tierstream.training.labelled_requests import read_labelled
from tierstream.training.request_costs import Choice, ExpectedCosts, costs_of_calls
from tierstream.training.request_report import draw_weights, labels_of


def calibrate_requests(
    settings: Settings,
    file: Path,
    *,
    wrong_answer_usd: float,
    model: Path | None,
    out: Path | None,
    cross_validate: bool,
    answer_tokens: int,
    folds: int,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Choose the boundary and the thresholds with the least expected cost, print them, and keep the thresholds.

    Raises:
        InputError: A file or a price that can't be used.
        OSError: A file can't be read or written.
    """
    classifier = load_request_model(model)
    requests = read_labelled([file])
    costs = costs_of_calls(settings, requests, answer_tokens)
    scores = scores_of_requests(file, requests, None if cross_validate else classifier, folds)
    with progress_bar("choosing", INTERRUPTED):
        weights = draw_weights(requests, draws, seed)
        expected = ExpectedCosts(labels_of(requests), costs, wrong_answer_usd, weights)
        choice = expected.choose(scores.needs, settings.routing.boundary[0])
    if out is not None:
        classifier.with_thresholds(choice.thresholds.thresholds or ()).save(out)
    seen = 0 if cross_validate else classifier.trained_on(requests)
    if as_json:
        figures = {
            "requests": len(requests),
            "trained_on": seen,
            "wrong_answer_usd": wrong_answer_usd,
            "models": [tier.models[0].ref for tier in settings.tiers],
        }
        show_json({**figures, **asdict(choice), "out": out and str(out)})
    else:
        show_choice(choice, wrong_answer_usd)
        typer.echo(_advice(choice, out))
    warn_of_seen(seen, len(requests), judged="requests", others="requests")


def _advice(choice: Choice, out: Path | None) -> str:
    boundary, *_ = choice.boundary.thresholds or ()
    if out is None:
        return (
            f"nothing was written: set the lower end of routing.boundary to {boundary:.2f}, "
            "or keep the best thresholds in a model with --out"
        )
    return (
        f"{out}: the model with the best thresholds\n"
        f"let it decide with `tierstream models publish {out} --activate`, or name it as routing.model"
    )
