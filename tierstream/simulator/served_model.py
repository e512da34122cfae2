"""The models as they run: current behaviour, limits, the prompt cache and the draws of the next call."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final

from tierstream.simulator.behaviour import Fault, ModelBehaviour, SimulatorConfig
from tierstream.simulator.chat import (
    Answer,
    ApiError,
    ChatRequest,
    Conversation,
    Input,
    Reply,
    ThinkingType,
    Thought,
    Usage,
    stable_hash,
    stable_share,
)
from tierstream.simulator.output_limit import fitted
from tierstream.simulator.prompt_cache import PromptCache
from tierstream.simulator.rate_limit import RateLimits
from tierstream.simulator.thinking import thought

_STANDARD_NORMAL: Final = NormalDist()
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What chance has in store for a call: a fault or none, and a factor on its latency."""

    number: int
    fault: Fault | None
    latency_factor: float


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What chance has in store for a batch.

    Attributes:
        is_full: Whether there is no room for it.
        is_cut: Whether the submitter never hears that it was made.
        is_refused: Whether it fails in the validation.
        never_reached: The places of the calls that expire.
        seconds: From its making to its end, before the time scale.
    """

    is_full: bool
    is_cut: bool
    is_refused: bool
    never_reached: frozenset[int]
    seconds: float


class ServedModel:
    """One model of one provider."""

    def __init__(self, provider: str, model: str, behaviour: ModelBehaviour, seed: int) -> None:
        self.provider = provider
        self.model = model
        self._seed = str(seed)
        self._initial = behaviour
        self._calls = 0
        self._batches = 0
        self._cache = PromptCache()
        self.configure(behaviour)

    def configure(self, behaviour: ModelBehaviour) -> None:
        """Change the behaviour from the next call on; limits start full."""
        self.behaviour = behaviour
        self.limits = RateLimits(behaviour.requests_per_minute, behaviour.tokens_per_minute, time.monotonic())

    def changed(self, fields: Mapping[str, Any]) -> ModelBehaviour:
        """The behaviour with some fields replaced, not yet in force; pydantic's ValidationError if one is wrong."""
        return ModelBehaviour.model_validate({**self.behaviour.model_dump(), **fields})

    def reset(self) -> None:
        """Go back to the configured behaviour."""
        self.configure(self._initial)

    def next_call(self) -> CallPlan:
        """Draw for the next call. A model's draws follow from the seed and its own count of calls.

        The count is the model's own so that traffic elsewhere does not move its faults.
        """
        self._calls += 1
        identity = (self._seed, self.provider, self.model, str(self._calls))
        factor = 1.0
        if self.behaviour.jitter:
            # The half step keeps the share off 0, where the normal quantile is infinite.
            share = (stable_hash("latency", *identity) // 2 + 0.5) / 2**63
            factor = math.exp(self.behaviour.jitter * _STANDARD_NORMAL.inv_cdf(min(share, 1 - 1e-12)))
        return CallPlan(self._calls, self.behaviour.fault_at(stable_share("fault", *identity)), factor)

    def next_batch(self, calls: int) -> BatchPlan:
        """Draw for the next batch, of so many calls; batches are counted apart from calls."""
        self._batches += 1
        behaviour = self.behaviour

        def happens(what: str, rate: float, *more: str) -> bool:
            return stable_share(what, self._seed, self.provider, self.model, str(self._batches), *more) < rate

        places = range(calls) if behaviour.batch_lines_expire else ()
        return BatchPlan(
            is_full=happens("full", behaviour.batches_full),
            is_cut=happens("cut", behaviour.submit_cut),
            is_refused=happens("refused", behaviour.batch_refused),
            never_reached=frozenset(n for n in places if happens("expire", behaviour.batch_lines_expire, str(n))),
            seconds=behaviour.batch_s,
        )

    def admit(self, conversation: Conversation, needs: frozenset[Input], thinking: ThinkingType | None = None) -> None:
        """Raise ApiError where the model can't take a conversation.

        Args:
            conversation: It; it may be too long.
            needs: What a model has to take for it, besides text.
            thinking: How the client configures its thinking.
        """
        behaviour = self.behaviour
        if thinking is not None and thinking not in behaviour.thinking:
            raise ApiError(400, f'"thinking.type.{thinking}" is not supported for this model.')
        if lacking := ", ".join(sorted(needs - behaviour.takes)).replace("_", " "):
            raise ApiError(400, f"The model `{self.model}` does not support {lacking} here.", param="messages")
        if conversation.misplaced and behaviour.checks_thinking:
            raise ApiError(400, f"{conversation.misplaced}: The block is bound to a different conversation")
        if conversation.input_tokens >= behaviour.context_window:
            message = f"prompt is too long: {conversation.input_tokens} tokens > {behaviour.context_window} maximum"
            raise ApiError(400, message, code="context_length_exceeded", param="messages")

    def reply(self, request: ChatRequest, answer: Answer, *, number: int, call_id_prefix: str) -> Reply:
        """The reply with its usage; reasoning counts against the limit of output tokens.

        Args:
            request: What is answered.
            answer: What the model would say without a limit.
            number: Of the call, from which the ids in the reply follow.
            call_id_prefix: Of the ids of tool calls.
        """
        conversation = request.conversation
        room = self.behaviour.context_window - conversation.input_tokens
        limit = room if request.max_tokens is None else min(room, request.max_tokens)
        written = fitted(answer, self._thought(request), self._hidden_share(request), limit)
        cache = self._cache.use(conversation, time.monotonic())
        usage = Usage(
            input_tokens=conversation.input_tokens,
            output_tokens=written.visible + written.reasoning,
            cached_tokens=cache.read,
            reasoning_tokens=written.reasoning,
            cache_written_tokens=cache.written,
        )
        reply_id = f"sim-{stable_hash('reply', self._seed, self.provider, self.model, str(number)):016x}"
        # A simulator that was started anew counts its calls from 1 again, and a conversation takes no id twice.
        identity = (reply_id, str(len(conversation.results)))
        calls = tuple(
            replace(call, call_id=f"{call_id_prefix}{stable_hash('call', *identity, str(place)):016x}")
            for place, call in enumerate(written.answer.calls)
        )
        finish = written.answer.finish
        return Reply(
            reply_id=reply_id,
            created=int(time.time()),
            model=request.model,
            text=written.answer.text,
            finish="tool_calls" if calls and finish == "stop" else finish,
            usage=usage,
            calls=calls,
            thought=written.thought,
            top_logprobs=request.top_logprobs,
        )

    def _thought(self, request: ChatRequest) -> Thought | None:
        """What it tells of its reasoning; a model that does not reason has nothing to show."""
        return None if request.reasoning == "shown" and not self.behaviour.reasoning_share else thought(request)

    def _hidden_share(self, request: ChatRequest) -> float:
        return self.behaviour.reasoning_share if request.reasoning == "hidden" else 0.0

    def thinking_s(self, usage: Usage, plan: CallPlan, *, classifies: bool) -> float:
        """Seconds until the first visible token, before the time scale."""
        reasoning_s = usage.reasoning_tokens / self.behaviour.tokens_per_second
        own = self.behaviour.classify_ttft_ms if classifies else None
        ttft_ms = self.behaviour.ttft_ms if own is None else own
        return (ttft_ms / _MS + reasoning_s) * plan.latency_factor

    def writing_s(self, usage: Usage, plan: CallPlan) -> float:
        """Seconds from the first visible token to the last, before the time scale."""
        visible = usage.output_tokens - usage.reasoning_tokens
        return visible / self.behaviour.tokens_per_second * plan.latency_factor


class ModelRegistry:
    """All served models by provider and id."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._models = {
            provider: {model: ServedModel(provider, model, b, config.seed) for model, b in declared.models.items()}
            for provider, declared in config.providers.items()
        }

    def serving(self, provider: str, model: str) -> ServedModel:
        """The model, or ApiError if the provider does not serve it."""
        served = self._models[provider].get(model)
        if served is None:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found", param="model")
        return served

    def ids(self, provider: str) -> list[str]:
        """The ids of a provider's models."""
        return list(self._models[provider])

    def matching(self, provider: str, model: str) -> Iterator[ServedModel]:
        """The models of a provider and id, where `*` stands for any."""
        for name, models in self._models.items():
            if provider in {"*", name}:
                yield from (served for served_id, served in models.items() if model in {"*", served_id})

    def behaviours(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The current behaviour of every model."""
        return {
            provider: {model: served.behaviour.model_dump(mode="json") for model, served in models.items()}
            for provider, models in self._models.items()
        }
