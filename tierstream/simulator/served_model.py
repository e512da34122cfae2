"""The models as they run: current behaviour, limits, the prompt cache and the draws of the next call."""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

from tierstream.simulator.behaviour import Fault, ModelBehaviour, SimulatorConfig
from tierstream.simulator.chat import ChatRequest, Conversation, Reply, Usage, stable_hash, stable_share
from tierstream.simulator.rate_limit import RateLimits
from tierstream.simulator.tokens import count_tokens, first_tokens

_CACHEABLE_TOKENS: Final = 1024
_CACHED_PREFIXES: Final = 1024
_STANDARD_NORMAL: Final = NormalDist()
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What chance has in store for a call: a fault or none, and a factor on its latency."""

    number: int
    fault: Fault | None
    latency_factor: float


class ServedModel:
    """One model of one provider."""

    def __init__(self, provider: str, model: str, behaviour: ModelBehaviour, seed: int) -> None:
        self.provider = provider
        self.model = model
        self._seed = str(seed)
        self._initial = behaviour
        self._calls = 0
        self._seen: dict[bytes, None] = {}
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

    def cached_tokens(self, conversation: Conversation) -> int:
        """Tokens of a long system prompt that this model has seen before; the prompt counts as seen now."""
        if conversation.system_tokens < _CACHEABLE_TOKENS:
            return 0
        key = hashlib.blake2b(conversation.system.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        hit = key in self._seen
        self._seen.pop(key, None)
        self._seen[key] = None
        if len(self._seen) > _CACHED_PREFIXES:
            del self._seen[next(iter(self._seen))]
        return conversation.system_tokens if hit else 0

    def reply(self, request: ChatRequest, text: str, *, truncated: bool, reasons: bool, number: int) -> Reply:
        """The reply with its usage; reasoning counts against the limit of output tokens."""
        share = self.behaviour.reasoning_share if reasons else 0.0
        visible = count_tokens(text)
        reasoning = round(visible * share / (1 - share))
        room = self.behaviour.context_window - request.conversation.input_tokens
        limit = room if request.max_tokens is None else min(room, request.max_tokens)
        if visible + reasoning > limit:
            reasoning = min(reasoning, math.floor(limit * share))
            visible = limit - reasoning
            text = first_tokens(text, visible)
            truncated = True
        usage = Usage(
            input_tokens=request.conversation.input_tokens,
            output_tokens=visible + reasoning,
            cached_tokens=self.cached_tokens(request.conversation),
            reasoning_tokens=reasoning,
        )
        identity = stable_hash("reply", self._seed, self.provider, self.model, str(number))
        return Reply(
            reply_id=f"sim-{identity:016x}",
            created=int(time.time()),
            model=request.model,
            text=text,
            finish="length" if truncated else "stop",
            usage=usage,
        )

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

    def find(self, provider: str, model: str) -> ServedModel | None:
        """The model, if the provider serves it."""
        return self._models[provider].get(model)

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
            provider: {model: served.behaviour.model_dump() for model, served in models.items()}
            for provider, models in self._models.items()
        }
