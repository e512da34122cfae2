"""The memory of conversations in tool loops: which model made the answer that a request goes on from."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from streams.config.settings import Settings
from streams.kafka.aged_memory import AgedMemory
from streams.kafka.clock import Clock
from streams.kafka.followed_log import FollowedLog
from streams.kafka.topic_reader import RawRecord, TopicReader
from streams.routing.affinity import Standing
from streams.routing.tool_loops import latest_calls
from topics.codec import DecodeError, decode
from topics.conversations import conversation_key
from topics.registry import CONVERSATIONS
from topics.requests import Request

log = logging.getLogger(__name__)

_LAG_MS: Final = 10
"""How late an answer may be known: an agent on the same machine comes back with results after some 50 ms."""
_LARGEST: Final = 2**32 - 1


class Conversations:
    """Knows where conversations stand, by the ids of the tool calls in them.

    What it does not know costs nothing but the affinity: such a request goes where any other would.

    Args:
        settings: The window, and where the topic is.
        clock: Current moment.
        reader: None: one of the cluster that the settings name.
    """

    def __init__(self, settings: Settings, clock: Clock, reader: TopicReader | None = None) -> None:
        # Some 170 bytes an answer with tool calls of the last window and longest deadline.
        self._memory = AgedMemory(timedelta(seconds=settings.delivery.dedup_window_s), "qHBIII")
        self._refs: list[str] = []
        """Models by their number in the entries."""
        self._log = FollowedLog(
            reader or TopicReader(settings.kafka),
            CONVERSATIONS,
            settings,
            memory=self._memory,
            note=self.note,
            lag_ms=_LAG_MS,
            clock=clock,
        )

    def __len__(self) -> int:
        return len(self._memory)

    async def run(self, ready: asyncio.Event) -> None:
        """Read the answers of the last window, set `ready`, and go on following until cancelled."""
        await self._log.run(ready)

    def standing(self, request: Request, arrived_ms: int) -> Standing | None:
        """Return where the conversation of a request stands; None where it has no tool calls, or none that are known.

        Args:
            request: What is asked.
            arrived_ms: When the broker appended it, ms since the epoch.
        """
        place = latest_calls(request.messages)
        if place is None:
            return None
        key = bytes.fromhex(conversation_key(request.user_id, request.messages[place].calls))
        found = max(self._memory.find(key, arrived_ms), default=None)
        if found is None:
            return None
        at_ms, number, tier, *tokens = found
        return Standing(self._refs[number], tier, at_ms, *tokens)

    def note(self, record: RawRecord) -> None:
        """Remember an answer as it was read; a value that is none is logged and passed over."""
        try:
            made = decode(CONVERSATIONS, record.value, record.headers).record
        except DecodeError as error:
            log.error("a conversation at offset %d can't be read: %s", record.offset, error.message)  # noqa: TRY400
            return
        at_ms, used = int(made.at.timestamp() * 1000), made.usage
        if (ref := f"{made.provider}/{made.model}") not in self._refs:
            self._refs.append(ref)
        tokens = (min(count, _LARGEST) for count in (used.input, used.cached + used.cache_written, used.output))
        self._memory.put(bytes.fromhex(made.key), at_ms, at_ms, self._refs.index(ref), made.tier, *tokens)
