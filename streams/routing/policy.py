"""The policy: readable rules from the config that bound, set or lean the tier, whatever the classifier says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from streams.config.setting_types import Signal
from streams.config.settings_sections import LimitSettings, RuleCondition, RuleSettings
from streams.routing.conversation_signals import signals
from streams.routing.sensitive_text import mentions_money, mentions_personal_data
from streams.routing.tool_loops import is_open, said
from topics.messages import Message, ThinkingPart
from topics.requests import Request


@dataclass(frozen=True, slots=True)
class Classified:
    """What the classifier's scores come to."""

    tier: int
    confidence: float
    """The probability that this tier is the lowest one that will do."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the rules, the limits and the request leave to the classifier."""

    floor: int
    ceiling: int
    tier: int | None
    """Set where a rule names the tier; the first such rule wins."""
    threshold_shift: float
    """Sum of the shifts, to be added to both ends of the boundary."""
    raise_by: int
    """How many tiers are added to what the scores come to, up to the ceiling; the most that a rule asks for."""
    validate_answer: bool
    rule: str | None
    """The rule that set the tier."""
    raise_rule: str | None
    """The first rule that asked for so many tiers more; None: none did."""
    floor_rule: str | None
    """The rule that raised the floor to where it is; None: no rule did."""
    ceiling_rule: str | None
    """The rule or limit that lowered the ceiling to where it is; None: none did."""
    reasons: tuple[str, ...]
    """Every rule and limit that applied."""
    ceilings: tuple[tuple[int, str], ...] = ()
    """Highest tiers that what was spent leaves, each with its reason."""

    def decide(self, classified: int) -> tuple[int, str | None]:
        """Return the tier, and the rule or limit that decided it; None: the scores or the request's own bounds did."""
        raised = max(classified, min(classified + self.raise_by, self.ceiling))
        tier, rule = (raised, None if raised == classified else self.raise_rule)
        if self.tier is not None:
            tier, rule = self.tier, self.rule
        if tier < self.floor:
            tier, rule = self.floor, self.floor_rule or rule
        if tier > self.ceiling:
            tier, rule = self.ceiling, self.ceiling_rule or rule
        return tier, rule


def bounds_problem(request: Request, top_tier: int) -> str | None:
    """Say which of the request's own bounds can't be met, and why; None: none."""
    for name, tier in (("min_tier", request.min_tier), ("max_tier", request.max_tier)):
        if tier is not None and tier > top_tier:
            return f"{name}: there are {top_tier} tiers"
    if request.min_tier is not None and request.max_tier is not None and request.min_tier > request.max_tier:
        return "min_tier: is above max_tier"
    return None


class Policy:
    """Evaluates the rules in order, then the limits.

    A rule can never loosen what the request itself asks for (`min_tier`, `max_tier`); a limit can, or whoever is
    limited could ask for more. Nor does a rule move a request that names its model.
    """

    def __init__(self, rules: Sequence[RuleSettings], top_tier: int, limits: LimitSettings | None = None) -> None:
        self._rules = tuple((rule, _matcher(rule.when, top_tier)) for rule in rules)
        self._top = top_tier
        self._limits = limits or LimitSettings()
        self._needs_scores = any(rule.when.needs_scores for rule in rules)

    def bounds(
        self,
        request: Request,
        query_type: str,
        classified: Classified | None = None,
        ceilings: tuple[tuple[int, str], ...] = (),
    ) -> Bounds:
        """Apply every rule that matches; floors rise, ceilings fall, the first rule with a tier sets it.

        Args:
            request: What is asked.
            query_type: Its kind, as it was named or guessed.
            classified: What the scores come to; None, before they are known: rules that look at them do not apply.
            ceilings: Highest tiers that exhausted budgets leave, each with its reason.
        """
        subject = _Subject(request, query_type, classified)
        return self._limited(self._ruled(subject), request, ceilings)

    def reviewed(self, bounds: Bounds, request: Request, query_type: str, classified: Classified) -> Bounds:
        """Apply the rules again now that the scores are known, if there is one that looks at them."""
        return self.bounds(request, query_type, classified, bounds.ceilings) if self._needs_scores else bounds

    def _ruled(self, subject: "_Subject") -> Bounds:
        request = subject.request
        least, most = request.min_tier or 1, min(request.max_tier or self._top, self._top)
        floor, ceiling, tier, shift, validate = least, most, None, 0.0, False
        deciding: str | None = None
        raising: str | None = None
        lowering: str | None = None
        more, adding = 0, None
        applied = [rule for rule, matches in self._rules if matches(subject)]
        for rule in applied:
            shift += rule.threshold_shift or 0.0
            validate = validate if rule.validate_answer is None else rule.validate_answer
            if request.model is not None:
                continue
            if rule.tier is not None and tier is None:
                tier, deciding = self._number(rule.tier), rule.name
            if rule.floor is not None and self._number(rule.floor) > floor:
                floor, raising = self._number(rule.floor), rule.name
            if rule.ceiling is not None and self._number(rule.ceiling) < ceiling:
                ceiling, lowering = self._number(rule.ceiling), rule.name
            if rule.raise_by is not None and rule.raise_by > more:
                more, adding = rule.raise_by, rule.name
        ceiling = min(max(ceiling, least), most)
        floor = min(max(floor, least), ceiling)
        reasons = tuple(rule.name for rule in applied)
        return Bounds(
            floor=floor,
            ceiling=ceiling,
            tier=tier,
            threshold_shift=shift,
            raise_by=more,
            validate_answer=validate,
            rule=deciding,
            raise_rule=adding,
            floor_rule=raising,
            ceiling_rule=lowering,
            reasons=reasons,
        )

    def _limited(self, bounds: Bounds, request: Request, ceilings: tuple[tuple[int, str], ...]) -> Bounds:
        found = [*((self._number(ceiling), name) for ceiling, name in self._limits_of(request)), *ceilings]
        if not found:
            return bounds
        reasons = (*bounds.reasons, *(name for _, name in found))
        ceiling, name = min(found)
        if ceiling >= bounds.ceiling:
            return replace(bounds, reasons=reasons, ceilings=ceilings)
        floor = min(bounds.floor, ceiling)
        return replace(bounds, floor=floor, ceiling=ceiling, ceiling_rule=name, reasons=reasons, ceilings=ceilings)

    def _limits_of(self, request: Request) -> Iterator[tuple[int | str, str]]:
        limits = self._limits
        asked = ((limits.user, "user", request.user_id), (limits.feature, "feature", request.feature))
        for by_name, kind, name in (*asked, *((limits.tag, "tag", tag) for tag in request.tags)):
            if name is not None and name in by_name:
                yield by_name[name], f"limit {kind} {name}"

    def _number(self, tier: int | str) -> int:
        return _numbered(tier, self._top)


@dataclass(frozen=True)
class _Subject:
    """What conditions are tested on; what takes long to find out is found out once, when a rule asks."""

    request: Request
    query_type: str
    classified: Classified | None

    @cached_property
    def question(self) -> str:
        return self.request.question.casefold()

    @cached_property
    def mentions_money(self) -> bool:
        return any(map(mentions_money, self._conversation()))

    @cached_property
    def mentions_personal_data(self) -> bool:
        return any(map(mentions_personal_data, self._conversation()))

    @cached_property
    def signals(self) -> frozenset[Signal]:
        return signals(self.request)

    @cached_property
    def said(self) -> Sequence[Message]:
        return said(self.request.messages)

    def _conversation(self) -> Iterator[str]:
        # What the producer writes into each of its requests, such as its own address or the definition of a tool, tells
        # nothing about this one.
        for message in self.request.messages:
            if message.role in {"system", "developer"}:
                continue
            yield message.text
            # What a tool was called with, and what was thought about it, goes to the provider too.
            yield from (call.function.arguments for call in message.calls)
            yield from (part.thinking for part in message.parts if isinstance(part, ThinkingPart))


_Matcher = Callable[[_Subject], bool]

_TESTS: dict[str, Callable[[Any, _Subject], bool]] = {
    "query_type": lambda any_of, subject: subject.query_type in any_of,
    "user_role": lambda any_of, subject: (subject.request.context.user_role or "").casefold() in any_of,
    "feature": lambda any_of, subject: subject.request.feature in any_of,
    "tags": lambda any_of, subject: not set(any_of).isdisjoint(subject.request.tags),
    "error_tolerance": lambda any_of, subject: subject.request.context.error_tolerance in any_of,
    "business_impact": lambda any_of, subject: subject.request.context.business_impact in any_of,
    "data_class": lambda any_of, subject: subject.request.context.data_class in any_of,
    "service_class": lambda any_of, subject: subject.request.service_class in any_of,
    "self_validating": lambda flag, subject: subject.request.context.self_validating is flag,
    "has_schema": lambda flag, subject: (subject.request.answer_schema is not None) is flag,
    "has_tools": lambda flag, subject: bool(subject.request.tools) is flag,
    "in_tool_loop": lambda flag, subject: is_open(subject.request.messages) is flag,
    "min_messages": lambda least, subject: len(subject.said) >= least,
    "min_characters": lambda least, subject: sum(len(m.text) for m in subject.said) >= least,
    "classified_tier": lambda any_of, subject: subject.classified is not None and subject.classified.tier in any_of,
    "confidence_below": lambda most, subject: subject.classified is not None and subject.classified.confidence < most,
    "mentions": lambda words, subject: any(word in subject.question for word in words),
    "mentions_money": lambda flag, subject: subject.mentions_money is flag,
    "mentions_personal_data": lambda flag, subject: subject.mentions_personal_data is flag,
    "signals": lambda any_of, subject: not subject.signals.isdisjoint(any_of),
}
"""How each field of a condition is tested, what is quick first; the value is the config's."""


def _matcher(when: RuleCondition, top: int) -> _Matcher:
    """Compile a condition to one function; a condition without fields matches every request."""
    tests = [
        (test, _compiled(name, value, top))
        for name, test in _TESTS.items()
        if (value := getattr(when, name)) is not None
    ]

    def matches(subject: _Subject) -> bool:
        # A loop, and not `all`: every rule is tried on every request, and most fail their first test.
        for test, value in tests:  # noqa: SIM110
            if not test(value, subject):
                return False
        return True

    return matches


def _compiled(name: str, value: Any, top: int) -> Any:  # noqa: ANN401 - values of many types
    if name in {"user_role", "mentions"}:
        return tuple(word.casefold() for word in value)
    if name == "classified_tier":
        return tuple(_numbered(tier, top) for tier in value)
    return value


def _numbered(tier: int | str, top: int) -> int:
    return tier if isinstance(tier, int) else top
