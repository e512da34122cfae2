"""Comparisons against hops: each that the stage has done with is told of. Pure."""

from typing import Final

from tierstream.verify.findings import Check, Findings, place
from tierstream.verify.identity import identity
from topics.events import DeadLetter, Hops
from topics.shadow import ShadowTask

_STAGE: Final = "shadow"
_CALL: Final = "compared"
"""Outcome of the hop of a judge's call: it does not end a comparison."""


class ShadowBook:
    """Remembers what was to be compared, and what was told of it. Copies of a task are one comparison.

    Args:
        findings: Where problems go.
        topic: Full name of the topic of shadow tasks.
    """

    def __init__(self, findings: Findings, *, topic: str) -> None:
        self._findings = findings
        self._topic = topic
        self._untold: dict[tuple[bytes, str], list[tuple[int, int]]] = {}
        """By request and name of the shadow, with the places of its tasks."""

    def add_task(self, given: ShadowTask, partition: int, offset: int) -> None:
        """Take note of a task; tasks are read before the hops."""
        asked = identity(given.task.request.request_id, given.task.revision), given.shadow
        self._untold.setdefault(asked, []).append((partition, offset))

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Take note that a handler raised over a task: its letter tells of it."""
        if letter.topic == self._topic:
            at = (letter.partition, letter.offset)
            self._untold = {asked: places for asked, places in self._untold.items() if at not in places}

    def add_hops(self, hops: Hops) -> None:
        """Take note of what is told of comparisons."""
        for hop in hops.hops:
            if hop.stage == _STAGE and hop.outcome != _CALL:
                name = (hop.detail or "").partition(":")[0]
                self._untold.pop((identity(hops.request_id, hops.revision), name), None)

    def finish(self, committed: dict[int, int]) -> None:
        """Name what nobody tells of.

        Args:
            committed: How far the stage had come in each partition, before the hops were read.
        """
        for places in self._untold.values():
            done = [place(self._topic, *at) for at in places if at[1] < committed.get(at[0], 0)]
            if done:
                self._findings.add(Check.SHADOW_UNTOLD, done[0], "done, and no hop tells of it")
