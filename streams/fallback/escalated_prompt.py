"""What a model is asked: the request, and behind it what was wrong with an earlier answer."""

from streams.config.settings_sections import ModelSettings
from streams.providers.base import Prompt
from streams.runtime.engine import Engine
from streams.validation.escalation_note import escalation_note
from topics.tasks import TierTask


def prompt_of(task: TierTask, model: ModelSettings, engine: Engine) -> Prompt:
    """Ask what the request asks, with a note on the best answer so far where one was not good enough.

    The note is left out where the model has no room for it, and behind a message of the assistant, which the model is
    to go on with.
    """
    request = task.request
    note = escalation_note(task.best, engine.settings.escalation.context, has_tools=bool(request.tools))
    if note is None or request.messages[-1].role == "assistant":
        return Prompt.of(request)
    noted = request.model_copy(update={"messages": (*request.messages, note)})
    return Prompt.of(noted if engine.models.windows.holds(model, noted) else request)
