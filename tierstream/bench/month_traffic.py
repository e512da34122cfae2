"""A month of a company's requests, and how the models that answer them change meanwhile; the seed decides all of it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.config.settings import Settings
from streams.learning.digest_share import share_of
from tierstream.bench.month_jargon import looks_easy, looks_hard
from tierstream.demo.corpus import CorpusEntry, load
from tierstream.simulator.filler import wrong_text
from topics.requests import Request

SCRIPTED_DAYS: Final = 30
"""Of the month that the script is for; a shorter one has its changes at the same shares of its days."""

FIRST_WORSE: Final = 8
HARDER: Final = 15
SECOND_WORSE: Final = 20
FIRST_BETTER: Final = 24
TRAINED_AFTER: Final = (7, 14, 28)
PLANTED_AFTER: Final = 20

_LOOKS_EASY_SHARE: Final = 0.14
_LOOKS_HARD_SHARE: Final = 0.08
_HARDER_BY: Final = 2.5
"""By which requests that need more than the first tier become more frequent."""
_FIRST_FORGETS: Final = frozenset({"code", "analysis"})
_SECOND_FORGETS: Final = frozenset({"support"})
_FORGOTTEN_SHARE: Final = 0.75
"""Of the questions of such a type: the same ones every time."""
_USERS: Final = 150
_DAY: Final = 10_000
"""Numbers of the questions of a day."""
_OPENINGS: Final = ("", "", "", "Hi, ", "Hello, ", "Quick one: ", "Please help: ", "Good morning. ")
_CLOSINGS: Final = ("\n(ticket {n})", "\nTicket {n}.", "\nRef. {n}, thanks!", "\nThis is for case {n}.")


@dataclass(frozen=True)
class MonthPlan:
    """How much, and how fast.

    Attributes:
        requests: Of the whole month.
        days: That they are spread over.
        rate: Requests a second.
        seed: Decides what is asked, and what users say of it.
    """

    requests: int
    days: int
    rate: float
    seed: int

    def requests_of(self, day: int) -> int:
        """Return how many a day has, from 1 on."""
        return self.requests * day // self.days - self.requests * (day - 1) // self.days

    def day(self, scripted: int) -> int:
        """Return the day of this month that a day of the script falls on."""
        return min(max(1, -(-scripted * self.days // SCRIPTED_DAYS)), self.days)

    @property
    def changes(self) -> tuple[tuple[int, str], ...]:
        """What changes in the world, by the day from whose beginning on it holds."""
        return (
            (self.day(FIRST_WORSE), "the first tier's models get code and data questions wrong that they got right"),
            (self.day(HARDER), "more of what needs the second or third tier is asked"),
            (self.day(SECOND_WORSE), "the second tier's models get support questions wrong that they got right"),
            (self.day(FIRST_BETTER), "the first tier's models are what they were at the beginning"),
        )

    @property
    def trained_after(self) -> frozenset[int]:
        """The days after which a round of learning takes place."""
        return frozenset(map(self.day, TRAINED_AFTER))


@dataclass(frozen=True)
class Asked:
    """A request of the month.

    Attributes:
        entry: Its right answer, which the simulator knows and nobody else.
        kind: The pattern of the corpus, or `looks_easy` and `looks_hard` for the company's own words.
        request: As it is sent.
    """

    entry: CorpusEntry
    kind: str
    request: Request


def day_tag(day: int) -> str:
    """Return the tag of the requests of a day."""
    return f"day-{day:02d}"


def traffic_of(plan: MonthPlan, day: int) -> list[Asked]:
    """Return the requests of a day, each with a text of its own."""
    draw = random.Random(f"{plan.seed}/{day}")  # noqa: S311 - a month has to be reproducible, not unpredictable
    entries, is_harder = load(), day >= plan.day(HARDER)
    weights = [entry.weight * (_HARDER_BY if is_harder and entry.label != 1 else 1.0) for entry in entries]
    return [_asked(draw, entries, weights, day, place) for place in range(plan.requests_of(day))]


def _asked(
    draw: random.Random, entries: Sequence[CorpusEntry], weights: Sequence[float], day: int, place: int
) -> Asked:
    number, more = day * _DAY + place, dict[str, Any]()
    at = draw.random()
    if at < _LOOKS_EASY_SHARE:
        kind, entry = "looks_easy", looks_easy(draw, number)
    elif at < _LOOKS_EASY_SHARE + _LOOKS_HARD_SHARE:
        kind, (entry, more) = "looks_hard", looks_hard(draw, number)
    else:
        [chosen] = draw.choices(entries, weights)
        kind, entry = chosen.pattern, _varied(draw, chosen, number)
    fields = entry.request_fields() | more
    fields |= {
        "request_id": f"month-{number:07d}",
        "user_id": f"user-{draw.randrange(_USERS):03d}",
        "tags": [*fields.get("tags", []), day_tag(day)],
    }
    return Asked(entry, kind, Request.model_validate(fields))


def _varied(draw: random.Random, entry: CorpusEntry, number: int) -> CorpusEntry:
    """Return the entry with a text that nobody has asked before, so that no call is saved."""
    *before, last = entry.messages
    text = draw.choice(_OPENINGS) + last.content + draw.choice(_CLOSINGS).format(n=number)
    varied = last.model_copy(update={"content": text})
    # The share that is forgotten goes by the question as the corpus has it.
    return entry.model_copy(update={"messages": (*before, varied)})


def script_of(plan: MonthPlan, settings: Settings, day: int, asked: Sequence[Asked]) -> Iterator[dict[str, Any]]:
    """Yield the simulator's script for the requests of a day, as the models are on it."""
    for one in asked:
        forgetting = [
            model.model
            for tier in _forgetting(plan, day, one)
            for model in settings.tiers[tier - 1].models
            if one.entry.label is not None and one.entry.label <= tier <= settings.top_tier
        ]
        script = one.entry.script()
        if forgetting:
            text = one.entry.wrong or wrong_text(one.entry.id, one.entry.answer)
            script["answers"] = dict.fromkeys(forgetting, text)
        yield script


def _forgetting(plan: MonthPlan, day: int, one: Asked) -> Iterator[int]:
    """Yield the tiers that on this day get wrong what they got right before."""
    if share_of(one.entry.id, "forgotten") >= _FORGOTTEN_SHARE:
        return
    if one.kind in _FIRST_FORGETS and plan.day(FIRST_WORSE) <= day < plan.day(FIRST_BETTER):
        yield 1
    if one.kind in _SECOND_FORGETS and day >= plan.day(SECOND_WORSE):
        yield 2
