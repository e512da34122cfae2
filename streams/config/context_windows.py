"""Whether a request fits a model's context window, decided before the call: nothing is ever cut to make it fit."""

from dataclasses import dataclass

from streams.config.model_catalogue import ModelTable
from streams.config.prompt_size import PromptSize, size_of
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.config.tokens import Tokenizer, estimate, exact
from topics.requests import Request

_FRAME = 120
"""Tokens around every prompt: the template of the chat, and what a provider puts in front of it."""
_MESSAGE_FRAME = 8
"""Tokens around every message: role, name and separators."""
_ESTIMATE_MARGIN = 1.1
_LEAST_SHARE = 0.4
"""What of an estimate is surely there, in any text that people or programs write: above that there is no close case."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model has room for, in tokens; None: not known, and not checked."""

    window: int | None
    prompt: int | None
    answer: int | None
    tokenizer: Tokenizer


class ContextWindows:
    """The windows of all models of the settings; those of the settings win over those of the shipped table."""

    def __init__(self, settings: Settings) -> None:
        table = ModelTable(settings.providers)
        self._limits = {_key(model): _limits(model, table) for _, model in settings.models()}

    def limits(self, model: ModelSettings) -> Limits:
        """Return what a model of the settings has room for."""
        return self._limits[_key(model)]

    def prompt_tokens(self, model: ModelSettings, request: Request) -> int:
        """Count the tokens of a request's prompt as the model will see it, rather too high than too low.

        An estimate with a margin; counted exactly only where the estimate leaves it open whether the request fits,
        and the model's tokenizer is at hand.
        """
        limits = self.limits(model)
        size = _size(request)
        frames = _FRAME + _MESSAGE_FRAME * len(request.messages) + size.other_tokens
        found = sum(estimate(text, limits.tokenizer) for text in size.texts)
        likely = round(found * _ESTIMATE_MARGIN) + frames
        output = request.params.max_tokens or model.max_tokens
        least = round(found * _LEAST_SHARE) + frames
        if self.fits(model, likely, output) or not self.fits(model, least, output):
            return likely
        counts = [exact(text, limits.tokenizer) for text in size.texts]
        return frames + sum(count for count in counts if count is not None) if None not in counts else likely

    def fits(self, model: ModelSettings, tokens: int, max_tokens: int) -> bool:
        """Whether a model has room for a prompt of `tokens` and an answer of up to `max_tokens`."""
        limits = self.limits(model)
        rooms = ((limits.window, tokens + max_tokens), (limits.prompt, tokens), (limits.answer, max_tokens))
        return all(room is None or needed <= room for room, needed in rooms)

    def holds(self, model: ModelSettings, request: Request) -> bool:
        """Whether a model has room for a request and the answer that it asks for."""
        output = request.params.max_tokens or model.max_tokens
        # No tokenizer makes more tokens than there are bytes, so most requests need no further look.
        if self.fits(model, _most_tokens(request), output):
            return True
        return self.fits(model, self.prompt_tokens(model, request), output)

    def why_too_long(self, request: Request, models: list[ModelSettings]) -> str:
        """Say what the roomiest of some models lacks that all have too little room for a request."""
        best = max(models, key=lambda model: self.limits(model).window or 0)
        limits = self.limits(best)
        output = request.params.max_tokens or best.max_tokens
        if limits.answer is not None and output > limits.answer:
            return f"params.max_tokens: {output:,} tokens; {best.model} gives at most {limits.answer:,}"
        tokens = self.prompt_tokens(best, request)
        room = f"{limits.window:,}" if limits.window else f"{limits.prompt:,} for the prompt"
        return (
            f"messages: about {tokens:,} tokens and {output:,} for the answer fit no model of the allowed tiers; "
            f"the largest context window is {room} tokens ({best.model})"
        )


def _key(model: ModelSettings) -> tuple[str, int | None]:
    return model.ref, model.context_window


def _limits(model: ModelSettings, table: ModelTable) -> Limits:
    known = table.known(model)
    if known is None:
        return Limits(model.context_window, None, None, Tokenizer.OTHER)
    # Whoever sets a window of their own knows more than the table, of the prompt too.
    own = model.context_window is not None
    window = model.context_window if own else known.context_window
    return Limits(window, None if own else known.max_input, known.max_output, known.tokenizer)


def _size(request: Request) -> PromptSize:
    return size_of(request.messages, request.tools, request.answer_schema)


def _most_tokens(request: Request) -> int:
    size = _size(request)
    # Whether a text is in ASCII is known without a look at it, and so is then how many bytes it has.
    found = sum(len(text if text.isascii() else text.encode("utf-8", "surrogatepass")) for text in size.texts)
    return found + size.other_tokens + _FRAME + _MESSAGE_FRAME * len(request.messages)
