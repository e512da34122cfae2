"""What verify looks for, and what it found: a count for each check and the first few records by name."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final


class Check(StrEnum):
    """One thing that must hold, or that an operator should know."""

    LOST = "lost"
    PENDING = "pending"
    DOUBLED = "doubled"
    ID_REUSED = "id_reused"
    UNREADABLE = "unreadable"
    DEAD_LETTER_MISSING = "dead_letter_missing"
    DEAD_LETTER_UNFOUNDED = "dead_letter_unfounded"
    UNRECORDED = "unrecorded"
    UNSERVED = "unserved"
    UNMADE = "unmade"
    UNKNOWN = "unknown"
    IN_FLIGHT = "in_flight"
    REPEATED = "repeated"
    DUPLICATE = "duplicate"
    SURPLUS = "surplus"
    MISPRICED = "mispriced"
    REPRICED = "repriced"
    UNBILLED = "unbilled"
    UNROUTED = "unrouted"
    SHADOWED = "shadowed"
    SHADOW_UNTOLD = "shadow_untold"
    REDELIVERED = "redelivered"
    FOREIGN_ANSWER = "foreign_answer"
    WITHHELD = "withheld"
    FEEDBACK_UNTOLD = "feedback_untold"
    REVISION_UNASKED = "revision_unasked"
    LEDGER_MISSING = "ledger_missing"
    LEDGER_SURPLUS = "ledger_surplus"
    LEDGER_TWICE = "ledger_twice"
    LEDGER_DIFFERING = "ledger_differing"
    LEDGER_TOTALS = "ledger_totals"

    @property
    def about(self) -> str:
        """What it counts."""
        return _ABOUT[self]


_ABOUT: Final[Mapping[Check, str]] = {
    Check.LOST: "requests past their deadline, and readable ids of bad ones, without a result",
    Check.PENDING: "requests without a result whose deadline is yet to come, and feedback in work",
    Check.DOUBLED: "results beyond the first of a request and revision within the window, for read_committed readers",
    Check.ID_REUSED: "requests under an id that another body had first; not served",
    Check.UNREADABLE: "records of our own topics that can't be read",
    Check.DEAD_LETTER_MISSING: "unreadable requests, and feedback, without a dead letter",
    Check.DEAD_LETTER_UNFOUNDED: "dead letters whose source record is not there, or is another one",
    Check.UNRECORDED: "paid calls that the journal does not hold, or holds the end of only",
    Check.UNSERVED: "successful calls of the journal that the providers' log does not hold",
    Check.UNMADE: "calls that started and never ended, nor left: the providers' log does not hold them",
    Check.UNKNOWN: "calls that started and never ended: on the wire when a process died or was stopped",
    Check.IN_FLIGHT: "calls that may still run: within the longest timeout, or in a batch of the provider",
    Check.REPEATED: "calls that left though their attempt had ended",
    Check.DUPLICATE: "calls that left while another call of their attempt had not ended",
    Check.SURPLUS: "calls beyond the first of an attempt that ended too, and that no process took over",
    Check.MISPRICED: "costs that are not rates times usage, rates that never held, usage other than the provider's",
    Check.REPRICED: "calls at rates that held before today's",
    Check.UNBILLED: "calls that the provider billed and that failed on our side without its usage",
    Check.UNROUTED: "paid calls that the route of their request's result leaves out",
    Check.SHADOWED: "calls of a shadow that a result has in its route, and so in its cost",
    Check.SHADOW_UNTOLD: "comparisons of a shadow that were done and that no hop tells of",
    Check.REDELIVERED: "paid calls that are in no route because their request was delivered again, or had its result",
    Check.FOREIGN_ANSWER: "results whose answer is not what the journal has for their attempt",
    Check.WITHHELD: "results without an answer though a call in their route had given one",
    Check.FEEDBACK_UNTOLD: "feedback that was read and that no hop tells of",
    Check.REVISION_UNASKED: "results of a later revision whose feedback is not there",
    Check.LEDGER_MISSING: "records of the topics without their row",
    Check.LEDGER_SURPLUS: "rows without a record",
    Check.LEDGER_TWICE: "rows that the views count more than once",
    Check.LEDGER_DIFFERING: "rows whose identity is a record's and whose columns are not",
    Check.LEDGER_TOTALS: "totals by SQL that are not the totals of the topics",
}

NOTED: Final = frozenset(
    {
        Check.PENDING,
        Check.ID_REUSED,
        Check.UNSERVED,
        Check.UNMADE,
        Check.UNKNOWN,
        Check.IN_FLIGHT,
        Check.DUPLICATE,
        Check.REPRICED,
        Check.UNBILLED,
        Check.REDELIVERED,
    }
)
"""What is counted and listed, and breaks no promise by itself."""

LEDGER: Final = frozenset(check for check in Check if check.startswith("ledger_"))


@dataclass(frozen=True, slots=True)
class Finding:
    """A record that a check names."""

    subject: str
    """The id of the request or call, else the place of the record as topic-partition@offset."""
    detail: str


@dataclass(slots=True)
class Findings:
    """Counts all findings and keeps the first `limit` of each check."""

    limit: int = 20
    counts: Counter[Check] = field(default_factory=Counter)
    skipped: dict[Check, str] = field(default_factory=dict)
    """Checks that could not be made, with the reason."""
    _named: dict[Check, list[Finding]] = field(default_factory=dict)

    def add(self, check: Check, subject: str, detail: str) -> None:
        """Note a record."""
        self.counts[check] += 1
        named = self._named.setdefault(check, [])
        if len(named) < self.limit:
            named.append(Finding(subject, detail))

    def skip(self, check: Check, reason: str) -> None:
        """Note that a check can't be made."""
        self.skipped[check] = reason

    def skip_ledger(self, reason: str) -> None:
        """Note that nothing about the ledger can be checked."""
        for check in LEDGER:
            self.skip(check, reason)

    def wants_more(self, check: Check) -> bool:
        """Whether the next finding of the check would be named; if not, its name need not be looked up."""
        return len(self._named.get(check, ())) < self.limit

    def named(self, check: Check) -> list[Finding]:
        """Return the findings that are named."""
        return self._named.get(check, [])

    @property
    def ok(self) -> bool:
        """Whether every invariant that was looked at holds."""
        return not any(count for check, count in self.counts.items() if check not in NOTED)

    def state(self, check: Check) -> str:
        """Return `skipped`, `ok`, `noted` (it breaks no promise) or `violated`."""
        if check in self.skipped and not self.counts[check]:
            return "skipped"
        if not self.counts[check]:
            return "ok"
        return "noted" if check in NOTED else "violated"

    def as_json(self) -> dict[str, Any]:
        """Return each check with its state, count and named findings."""
        return {check.value: self._describe(check) for check in Check}

    def _describe(self, check: Check) -> dict[str, Any]:
        described: dict[str, Any] = {
            "state": self.state(check),
            "count": self.counts[check],
            "findings": [asdict(finding) for finding in self.named(check)],
        }
        if check in self.skipped:
            described["skipped"] = self.skipped[check]
        return described

    def __iter__(self) -> Iterator[Check]:
        return iter(Check)


def place(topic: str, partition: int, offset: int) -> str:
    """Name a record by where it stands."""
    return f"{topic}-{partition}@{offset}"
