"""`tierstream learn replay`: what the router under a budget makes of recorded outcomes."""

from pathlib import Path
from typing import Annotated

import typer

from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.learn import show_replay
from tierstream.cli.render.results import show_json
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError
from tierstream.training.outcome_file import read_arm_outcomes
from tierstream.training.replay_scenarios import Change, Hostility, Lie

_PICTURES = (".png", ".svg")
_LARGEST_BUDGET = 1e6


REPLAY_EXAMPLES = examples(
    "tierstream learn replay --outcomes outcomes.jsonl.gz --prior known.jsonl.gz --budget 0.00023",
    "tierstream learn replay --outcomes outcomes.jsonl.gz --budget 0.0019 --seeds 5 --plot replay.svg",
    "tierstream learn replay --outcomes outcomes.jsonl.gz --budget 0.00066 --change new-model --json",
    "tierstream learn replay --outcomes outcomes.jsonl.gz --budget 0.00023 --hostile 0.2 --lie down",
)


def _read_picture(file: Path | None) -> Path | None:
    if file is not None and file.suffix not in _PICTURES:
        raise typer.BadParameter(f"{file.name} does not end in {' or '.join(_PICTURES)}")
    return file


def _read_budget(budget: float) -> float:
    if not 0 < budget <= _LARGEST_BUDGET:
        raise typer.BadParameter(f"{budget:g} is no amount of dollars above 0")
    return budget


def replay(
    outcomes: Annotated[
        Path, typer.Option(metavar="FILE", help="Outcomes of all models as JSON, one prompt a line; .gz will do.")
    ],
    budget: Annotated[
        float, typer.Option(callback=_read_budget, metavar="USD", help="Dollars that a request may cost on average.")
    ],
    prior: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Such outcomes of other prompts to begin with; default: none.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Orders of the requests, each learnt anew.")] = 20,
    publish_every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests that are decided by one snapshot of what is learnt.")
    ] = 10,
    exploration: Annotated[
        float, typer.Option(min=0, max=1, metavar="P", help="Highest share of requests that are used to learn.")
    ] = 0.05,
    change: Annotated[Change | None, typer.Option(help="What becomes of a model during the stream.")] = None,
    change_at: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="From which request on; default: the middle one.")
    ] = None,
    hostile: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Share of the feedback that is lies.")
    ] = None,
    hostile_users: Annotated[
        float, typer.Option(min=0, max=0.99, metavar="SHARE", help="Share of the users that they are from.")
    ] = 0.02,
    lie: Annotated[
        Lie,
        typer.Option(
            help="down: only the cheapest model is any good; up: only the dearest; invert: good is bad and bad good."
        ),
    ] = Lie.DOWN,
    users: Annotated[int, typer.Option(min=2, metavar="N", help="Users whose requests these are.")] = 100,
    plot: Annotated[
        Path | None,
        typer.Option(callback=_read_picture, metavar="FILE", help="Draw how it went over time: .svg or .png."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay recorded outcomes as a stream, and say what the router under a budget makes of it.

    A line has `id`, `prompt`, `models` (their names), and `reward` (0 to 1) and `cost_usd` of each. The router sees of
    each request what the model it chose brought and cost, and nothing of the others; without --prior it begins with the
    order of the models by cost and, of their costs, the nearest power of ten. Each seed is another order of the
    requests, with a learner of its own. Beside its mean reward stand that of the best mix of models that does not look
    at requests, and that of an oracle, both at the budget. 1,800 requests take about a second each seed.
    """
    # NumPy takes a while to import, so that `--help` need not wait for it.
    from streams.routing.online.arms import LearnerOptions  # noqa: PLC0415
    from tierstream.training.replay import ReplayPlan  # noqa: PLC0415
    from tierstream.training.replay import replay as run  # noqa: PLC0415
    from tierstream.training.replay_report import report_on  # noqa: PLC0415

    if change is None and change_at is not None:
        raise typer.BadParameter("--change-at goes with --change")
    if plot is not None:
        _require_plotting(plot)
    found = read_arm_outcomes(outcomes)
    known = None if prior is None else read_arm_outcomes(prior)
    plan = ReplayPlan(
        budget_usd=budget,
        seeds=seeds,
        publish_every=publish_every,
        change=change,
        change_at=(len(found.prompts) // 2 if change_at is None else change_at) if change is not None else 0,
        users=users,
        hostility=None if hostile is None else Hostility(hostile, hostile_users, lie),
        options=LearnerOptions(exploration=exploration),
    )
    with progress_bar(f"replaying {len(found.prompts)} outcomes") as progress:
        try:
            replayed = run(found, known, plan, progress)
        except TrainingError as error:
            raise InputError(f"{outcomes}: {error}") from None
    report = report_on(replayed, 0 if known is None else len(known.prompts))
    if plot is not None:
        from tierstream.bench.plot import draw_replay  # noqa: PLC0415
        from tierstream.training.replay_curves import curves_of  # noqa: PLC0415

        draw_replay(curves_of(replayed), plot)
    if as_json:
        show_json(report.as_json())
    else:
        show_replay(report)


def _require_plotting(file: Path) -> None:
    from tierstream.bench.plot import require_plotting  # noqa: PLC0415
    from tierstream.cli.commands.train import require_directory  # noqa: PLC0415

    require_plotting()
    require_directory(file)
