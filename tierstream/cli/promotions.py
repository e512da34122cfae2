"""What becomes of models that were trained on a deployment's own traffic: proposed, promoted, rejected, rolled back."""

from collections.abc import Iterable
from typing import Final

import typer

from streams.config.settings import Settings
from streams.control.control_state import ControlState
from streams.control.rollout import Step
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from tierstream.cli.model_orders import activate_model, dedup_window, publish_model, read_state
from tierstream.client.request_file import InputError
from tierstream.operations.model_versions import steps_now
from topics.base import MAX_ID_LENGTH
from topics.control import ModelFile, model_key
from topics.learned import Promotion, PromotionState, PromotionStep, promotion_key
from topics.registry import CONTROL

LEARN: Final = "learn"
"""By whom things are done that nobody did."""
_ACTIVATION_S: Final = 5.0
"""Until a promotion or a rollback takes force; workers load the model meanwhile."""
_MOST_PAGES: Final = 100
"""Pages of models that never decided; every process reads the topic when it starts."""


def step(state: PromotionState, reason: str, *, by: str = LEARN) -> PromotionStep:
    """Make a step of now; of a long reason the beginning is kept."""
    return PromotionStep(state=state, by=by, reason=reason[:MAX_ID_LENGTH], at=utc_now())


def page_of(state: ControlState, version: str) -> Promotion:
    """Return the page of a model.

    Raises:
        typer.BadParameter: It has none.
    """
    page = state.promotions.get(version)
    if page is None:
        known = ", ".join(sorted(state.promotions)) or "none"
        raise typer.BadParameter(
            f"{version!r} has no page: only what `tierstream learn` has trained has one, and that is {known}",
            param_hint="VERSION",
        )
    return page


async def keep_page(settings: Settings, page: Promotion) -> None:
    """Publish a page, and take back the oldest of models that never decided where there are many."""
    state = await read_state(settings)
    idle = [one for one in state.promotions.values() if one.state in {"refused", "rejected"}]
    idle.sort(key=lambda one: one.steps[-1].at)
    async with Publisher(settings.kafka) as publisher:
        await publisher.publish([Output(CONTROL, page)])
        old = [promotion_key(one.version) for one in idle[:-_MOST_PAGES] if one.version != page.version]
        await publisher.withdraw(CONTROL, *old)


async def propose(settings: Settings, record: ModelFile, page: Promotion) -> Promotion:
    """Publish a model that was found better, for someone to approve; what was proposed before is no longer."""
    state = await read_state(settings)
    await publish_model(settings, record)
    await keep_page(settings, page)
    for other in state.promotions.values():
        if other.state == "proposed" and other.version != page.version:
            await _refuse(settings, state, other, step("rejected", f"superseded by {page.version}"))
    return page


async def promote(settings: Settings, page: Promotion, after: float, *, by: str, reason: str) -> tuple[Step, Promotion]:
    """Let a published model take force, and write so on its page."""
    found = await activate_model(settings, await read_state(settings), page.version, after, by=by)
    promoted = page.after(step("promoted", reason, by=by))
    await keep_page(settings, promoted)
    return found, promoted


async def promote_now(settings: Settings, page: Promotion, reason: str) -> Promotion:
    """Promote without asking anybody."""
    _, promoted = await promote(settings, page, _ACTIVATION_S, by=LEARN, reason=reason)
    return promoted


async def approve_promotion(settings: Settings, version: str, after: float, *, by: str) -> Step:
    """Let a proposed model take force.

    Raises:
        InputError: It is not proposed, was measured against another model than decides now, or can't be loaded.
        typer.BadParameter: It has no page.
    """
    state = await read_state(settings)
    page = _proposed(state, version)
    active = steps_now(state, utc_now(), dedup_window(settings))[-1].version
    # It may be active itself, where an approval was cut off before it was written down.
    if active not in {page.before, version}:
        raise InputError(
            f"{version} was measured against {page.before}, but {active} decides now: `tierstream learn train` again, "
            f"or `tierstream models activate {version}` all the same"
        )
    found, _ = await promote(settings, page, after, by=by, reason="approved")
    return found


async def reject_promotion(settings: Settings, version: str, reason: str, *, by: str) -> Promotion:
    """Refuse a proposed model.

    Raises:
        InputError: It is not proposed.
        typer.BadParameter: It has no page.
    """
    state = await read_state(settings)
    return await _refuse(settings, state, _proposed(state, version), step("rejected", reason, by=by))


async def roll_back_promotion(settings: Settings, page: Promotion, reason: str) -> tuple[Step, Promotion] | None:
    """Let the version before a promoted model decide again, unless somebody has ordered another one meanwhile."""
    state = await read_state(settings)
    steps = steps_now(state, utc_now(), dedup_window(settings))
    if steps[-1].version != page.version or len(steps) == 1:
        return None
    found = await activate_model(settings, state, steps[-2].version, _ACTIVATION_S, by=LEARN)
    rolled_back = page.after(step("rolled_back", reason))
    await keep_page(settings, rolled_back)
    return found, rolled_back


def promotion_steps(pages: Iterable[Promotion]) -> list[tuple[str, PromotionStep]]:
    """List what was done with all models, by version, in the order of time."""
    return sorted(((page.version, one) for page in pages for one in page.steps), key=lambda pair: pair[1].at)


def _proposed(state: ControlState, version: str) -> Promotion:
    page = page_of(state, version)
    if page.state != "proposed":
        last = page.steps[-1]
        raise InputError(f"{version} is not proposed: {last.by} has it {last.state} ({last.reason})")
    return page


async def _refuse(settings: Settings, state: ControlState, page: Promotion, why: PromotionStep) -> Promotion:
    """Write on its page that a model is not wanted, and take its file back where nothing is decided by it."""
    refused = page.after(why)
    await keep_page(settings, refused)
    steps = steps_now(state, utc_now(), dedup_window(settings))
    if page.version not in {one.version for one in steps}:
        async with Publisher(settings.kafka) as publisher:
            await publisher.withdraw(CONTROL, model_key(page.version))
    return refused
