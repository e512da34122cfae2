"""What a model has in its prompt cache.

Sources: https://platform.claude.com/docs/en/build-with-claude/prompt-caching for prompts that say where they may be
cached, https://platform.openai.com/docs/guides/prompt-caching for those that are cached by themselves.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tierstream.simulator.chat import CachePoint, Conversation

_CACHEABLE_TOKENS: Final = 1024
_BLOCK_TOKENS: Final = 128
_LOOKS_BACK: Final = 20
"""Points before one that is marked at which a model looks for what it has already."""
_TTL_S: Final = 300.0
_MOST_SYSTEM_PROMPTS: Final = 1024
_MOST_PREFIXES: Final = 16_384


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Input tokens of a call that were read from the cache, and that were written to it."""

    read: int = 0
    written: int = 0


class PromptCache:
    """Prefixes of prompts by their hash; of too many, the one that was used longest ago is forgotten."""

    def __init__(self) -> None:
        self._system_prompts: dict[bytes, None] = {}
        self._expires: dict[bytes, float] = {}

    def use(self, conversation: Conversation, now: float) -> CacheUse:
        """What a call reads and writes; its prompt counts as seen from now on.

        Args:
            conversation: What it asks.
            now: Seconds of a monotonic clock.
        """
        points = conversation.cache_points
        if not points:
            return self._system_prompt(conversation)
        long_enough = [point for point in points if point.tokens >= _CACHEABLE_TOKENS]
        if any(point.ttl_s is not None for point in points):
            return self._marked(long_enough, now)
        return self._unmarked(long_enough, now)

    def _system_prompt(self, conversation: Conversation) -> CacheUse:
        """Of a conversation of text alone the system prompt is cached, and does not expire."""
        if conversation.system_tokens < _CACHEABLE_TOKENS:
            return CacheUse()
        key = hashlib.blake2b(conversation.system.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        hit = key in self._system_prompts
        self._system_prompts.pop(key, None)
        self._system_prompts[key] = None
        if len(self._system_prompts) > _MOST_SYSTEM_PROMPTS:
            del self._system_prompts[next(iter(self._system_prompts))]
        return CacheUse(read=conversation.system_tokens if hit else 0)

    def _marked(self, points: Sequence[CachePoint], now: float) -> CacheUse:
        """Up to its last mark a prompt is read, or written where it is new."""
        marks = [at for at, point in enumerate(points) if point.ttl_s is not None]
        if not marks:
            return CacheUse()
        looked_at = {at for mark in marks for at in range(max(0, mark - _LOOKS_BACK), mark + 1)}
        read = self._longest((points[at] for at in looked_at), now)
        for mark in marks:
            self._keep(points[mark], now + (points[mark].ttl_s or 0))
        return CacheUse(read, points[marks[-1]].tokens - read)

    def _unmarked(self, points: Sequence[CachePoint], now: float) -> CacheUse:
        """What is cached by itself is read in whole blocks, and nobody is told what is written."""
        read = self._longest(points, now)
        for point in points:
            self._keep(point, now + _TTL_S)
        return CacheUse(read // _BLOCK_TOKENS * _BLOCK_TOKENS)

    def _longest(self, points: Iterable[CachePoint], now: float) -> int:
        return max((point.tokens for point in points if self._expires.get(point.key, now) > now), default=0)

    def _keep(self, point: CachePoint, expires: float) -> None:
        self._expires.pop(point.key, None)
        self._expires[point.key] = expires
        if len(self._expires) > _MOST_PREFIXES:
            del self._expires[next(iter(self._expires))]
