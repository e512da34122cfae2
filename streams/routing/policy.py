"""The policy: readable rules from the config that bound or set the tier, whatever the classifier says."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.sections import RuleCondition, RuleSettings
from topics.requests import Request


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the rules and the request leave to the classifier."""

    floor: int
    ceiling: int
    tier: int | None
    """Set where a rule names the tier; the first such rule wins."""
    validate_answer: bool
    rule: str | None
    """The rule that set the tier, else the last that moved a bound."""
    reasons: tuple[str, ...]


class Policy:
    """Evaluates the rules in order.

    A rule can never loosen what the request itself asks for (`min_tier`, `max_tier`).
    """

    def __init__(self, rules: Sequence[RuleSettings], top_tier: int) -> None:
        self._rules = tuple((rule, _matcher(rule.when)) for rule in rules)
        self._top = top_tier

    def bounds(self, request: Request, query_type: str) -> Bounds:
        """Apply every rule that matches; floors rise, ceilings fall, the first rule with a tier sets it."""
        floor, ceiling = request.min_tier or 1, min(request.max_tier or self._top, self._top)
        tier: int | None = None
        validate, deciding, moving = False, None, None
        reasons: list[str] = []
        for rule, matches in self._rules:
            if not matches(request, query_type):
                continue
            reasons.append(rule.name)
            if rule.tier is not None and tier is None:
                tier, deciding = self._number(rule.tier), rule.name
            if rule.floor is not None and self._number(rule.floor) > floor:
                floor, moving = self._number(rule.floor), rule.name
            if rule.ceiling is not None and self._number(rule.ceiling) < ceiling:
                ceiling, moving = self._number(rule.ceiling), rule.name
            if rule.validate_answer is not None:
                validate = rule.validate_answer
        ceiling = min(max(ceiling, request.min_tier or 1), request.max_tier or self._top, self._top)
        floor = min(max(floor, request.min_tier or 1), ceiling)
        return Bounds(floor, ceiling, tier, validate, deciding or moving, tuple(reasons))

    def _number(self, tier: int | str) -> int:
        return tier if isinstance(tier, int) else self._top


_Matcher = Callable[[Request, str], bool]

_TESTS: dict[str, Callable[[Any, Request, str], bool]] = {
    "query_type": lambda any_of, _, query_type: query_type in any_of,
    "user_role": lambda any_of, request, _: (request.context.user_role or "").casefold() in _folded(any_of),
    "feature": lambda any_of, request, _: request.feature in any_of,
    "tags": lambda any_of, request, _: not set(any_of).isdisjoint(request.tags),
    "error_tolerance": lambda any_of, request, _: request.context.error_tolerance in any_of,
    "business_impact": lambda any_of, request, _: request.context.business_impact in any_of,
    "data_class": lambda any_of, request, _: request.context.data_class in any_of,
    "service_class": lambda any_of, request, _: request.service_class in any_of,
    "self_validating": lambda flag, request, _: request.context.self_validating is flag,
    "has_schema": lambda flag, request, _: (request.response_schema is not None) is flag,
    "mentions": lambda words, request, _: any(word in request.question.casefold() for word in _folded(words)),
    "min_messages": lambda least, request, _: len(request.messages) >= least,
    "min_characters": lambda least, request, _: sum(len(m.text) for m in request.messages) >= least,
}
"""How each field of a condition is tested; the value is the config's."""


def _matcher(when: RuleCondition) -> _Matcher:
    """Compile a condition to one function; a condition without fields matches every request."""
    tests = [(test, value) for name, test in _TESTS.items() if (value := getattr(when, name)) is not None]
    return lambda request, query_type: all(test(value, request, query_type) for test, value in tests)


def _folded(words: Iterable[str]) -> list[str]:
    return [word.casefold() for word in words]
