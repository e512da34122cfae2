"""Who asks what in made traffic: users, features, questions that repeat, and which tier each is sent to and needs."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Any, Final

from tierstream.bench.ledger_plants import Plants
from topics.requests import Dimensions, ServiceClass

_FEATURES: Final = (
    # Name, usual type of query, service class, tokens of the instructions, tokens of input and of output.
    ("faq-bot", "faq", "interactive", 1800, 420, 140),
    ("reply-draft", "support", "standard", 900, 700, 260),
    ("code-assistant", "code", "interactive", 2600, 1900, 520),
    ("data-assistant", "data", "standard", 1500, 1100, 300),
    ("ticket-router", "classification", "standard", 600, 350, 20),
    ("report-bot", "analysis", "bulk", 1200, 3800, 700),
    ("mail-triage", "classification", "standard", 450, 500, 30),
    ("invoice-ingest", "extraction", "bulk", 800, 1300, 180),
    ("app-assistant", "faq", "interactive", 1600, 380, 160),
    ("gear-adviser", "support", "interactive", 700, 520, 220),
    ("exec-assistant", "analysis", "standard", 300, 2400, 600),
    ("contract-intake", "extraction", "bulk", 1400, 5200, 420),
    ("release-notes", "writing", "standard", 500, 1500, 450),
    ("review-tags", "classification", "bulk", 250, 260, 15),
    ("cv-intake", "extraction", "bulk", 650, 1700, 210),
    ("docgen", "writing", "standard", 0, 900, 800),
    ("translate", "writing", "interactive", 0, 450, 430),
    ("ticket-summary", "summary", "standard", 350, 1500, 160),
    ("order-import", "extraction", "bulk", 700, 900, 150),
    ("minutes", "summary", "standard", 200, 6500, 480),
    ("claims", "analysis", "standard", 1100, 2600, 450),
    ("migration", "code", "bulk", 900, 3500, 1200),
    ("product-data", "extraction", "bulk", 550, 600, 190),
    ("goods-in", "extraction", "bulk", 300, 450, 120),
)
_NEEDS: Final = {
    # Shares of the requests that the first, second and third tier are the lowest to do well.
    "faq": (0.93, 0.06, 0.01),
    "classification": (0.95, 0.045, 0.005),
    "extraction": (0.86, 0.12, 0.02),
    "summary": (0.82, 0.16, 0.02),
    "support": (0.76, 0.21, 0.03),
    "writing": (0.7, 0.25, 0.05),
    "data": (0.6, 0.33, 0.07),
    "code": (0.55, 0.36, 0.09),
    "analysis": (0.45, 0.4, 0.15),
}
_TYPES: Final = tuple(_NEEDS)
_TAGS: Final = tuple(
    f"team-{name}" for name in ("sales", "care", "web", "ops", "legal", "finance", "hr", "data", "lab")
)

_FEATURE_POWER: Final = 1.05
_USER_POWER: Final = 1.0
_TAG_POWER: Final = 1.2
_QUESTION_POWER: Final = 1.0
_AT_HOME: Final = 0.7
"""Share of a user's requests that come from one feature."""
_USUAL_TYPE: Final = 0.8
_KNOWN_QUESTIONS: Final = 600
"""Of each feature; each is sent to the same tier every time."""
_KNOWN_SHARE: Final = 0.45
_LOWER, _HIGHER = 0.3, 0.04
"""Shares of the requests that could be and are sent below, or above, the tier that they need."""
_CRITICAL: Final = 0.05
_VOTED: Final = 0.12
_SAME: Final = 0.5
"""Of those who ask a question again, who ask it in the same words."""
_TOP: Final = 3
_NOT_SAYING: Final = 0.03
"""Requests without a user, without a feature, or without a type of query."""
_MOST_FLIPPED: Final = 3
_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: what its record would say, and what only the one who makes the traffic knows.

    Attributes:
        request_id: Its id.
        at_ms: When the broker appended it, ms since the epoch.
        signature: Of its question.
        prefix: Hash of its instructions; None where it has none.
        sent_to: The tier that it starts on.
        needs: The lowest tier that answers it well.
        rule: That decided the tier; None: the classifier did.
        is_critical: Whether a rule has a judge look.
        judged: Share of such answers that a judge looks at without a rule; None: the usual one.
        has_vote: Whether a language model had a vote on the tier.
        is_planted: Whether it is one of what is planted.
    """

    request_id: str
    at_ms: int
    user_id: str | None
    feature: str | None
    query_type: str | None
    service_class: ServiceClass
    tags: tuple[str, ...]
    signature: str
    prefix: str | None
    prefix_tokens: int
    input_tokens: int
    output_tokens: int
    sent_to: int
    needs: int
    rule: str | None = None
    is_critical: bool = False
    judged: float | None = None
    has_vote: bool = False
    is_planted: bool = False

    def dimensions(self) -> dict[str, Any]:
        """Return the dimensions of the request, by name, as its result has them."""
        return {name: getattr(self, name) for name in Dimensions.model_fields}

    def again(self, request_id: str, user_id: str | None) -> "Asked":
        """Return a request of somebody else who asks the same at the same moment."""
        return replace(self, request_id=request_id, user_id=user_id)


class Zipf:
    """Draws ranks from 0 on, of which the n-th is as frequent as 1 / n to some power."""

    def __init__(self, size: int, power: float) -> None:
        self._sums = list(accumulate((rank + 1) ** -power for rank in range(size)))

    def draw(self, draw: Random) -> int:
        """Return a rank."""
        return bisect(self._sums, draw.random() * self._sums[-1])


class Population:
    """All who ask.

    Args:
        seed: Decides who uses which feature.
        users: How many.
        plants: What is planted.
    """

    def __init__(self, seed: int, users: int, plants: Plants) -> None:
        setup = Random(f"{seed}/users")  # noqa: S311 - traffic has to be reproducible, not unpredictable
        self._plants = plants
        self._features = Zipf(len(_FEATURES), _FEATURE_POWER)
        self._users = Zipf(users, _USER_POWER)
        self._tags = Zipf(len(_TAGS), _TAG_POWER)
        self._questions = Zipf(_KNOWN_QUESTIONS, _QUESTION_POWER)
        self._homes = [self._features.draw(setup) for _ in range(users)]
        self._top_cost = self._theirs = Decimal(0)
        self._known: dict[tuple[int, int], tuple[str, str, int, int]] = {}

    def ask(self, draw: Random, request_id: str, at_ms: int) -> Asked:
        """Return a request; the generator decides all of it."""
        user = self._users.draw(draw)
        feature = self._homes[user] if draw.random() < _AT_HOME else self._features.draw(draw)
        asked = self._question(draw, request_id, at_ms, user, feature)
        return self._planted(draw, asked)

    def note_cost(self, user_id: str | None, cost_usd: Decimal) -> None:
        """Take note of what a user's answer of the top tier cost: a planted user goes by it."""
        self._top_cost += cost_usd
        if self._plants.power_user is not None and user_id == self._plants.power_user.user_id:
            self._theirs += cost_usd

    def _question(self, draw: Random, request_id: str, at_ms: int, user: int, feature: int) -> Asked:
        name, _, service_class, prefix_tokens, input_tokens, output_tokens = _FEATURES[feature]
        if draw.random() < _KNOWN_SHARE:
            signature, query_type, needs, sent_to = self._known_question(feature, self._questions.draw(draw))
            signature = nearly(draw, signature)
        else:
            query_type = _type_of(draw, feature)
            needs, sent_to = _tiers(draw, query_type)
            signature = f"{draw.getrandbits(_BITS):016x}"
        tags = tuple(dict.fromkeys(_TAGS[self._tags.draw(draw)] for _ in range(draw.choice((0, 1, 1, 1, 2)))))
        is_critical = draw.random() < _CRITICAL
        return Asked(
            request_id=request_id,
            at_ms=at_ms,
            user_id=None if draw.random() < _NOT_SAYING else f"user-{user:05d}",
            feature=None if draw.random() < _NOT_SAYING else name,
            query_type=None if draw.random() < _NOT_SAYING else query_type,
            service_class=ServiceClass(service_class),
            tags=tags,
            signature=signature,
            prefix=prefix_of(name) if prefix_tokens else None,
            prefix_tokens=prefix_tokens,
            input_tokens=prefix_tokens + max(20, int(draw.lognormvariate(0, 0.5) * input_tokens)),
            output_tokens=max(3, int(draw.lognormvariate(0, 0.5) * output_tokens)),
            sent_to=sent_to,
            needs=needs,
            rule="critical" if is_critical else None,
            is_critical=is_critical,
            has_vote=not is_critical and draw.random() < _VOTED,
        )

    def _known_question(self, feature: int, rank: int) -> tuple[str, str, int, int]:
        """Return signature, type, needed tier and first tier of a question that is asked again and again."""
        known = self._known.get((feature, rank))
        if known is None:
            own = Random(f"{feature}/{rank}")  # noqa: S311 - the same in every run
            query_type = _type_of(own, feature)
            known = f"{own.getrandbits(_BITS):016x}", query_type, *_tiers(own, query_type)
            self._known[feature, rank] = known
        return known

    def _planted(self, draw: Random, asked: Asked) -> Asked:
        """Make a request one of those that are planted, or leave it."""
        power, wrong = self._plants.power_user, self._plants.mis_tiered
        if wrong is not None and draw.random() < wrong.share:
            sent_to = _TOP if draw.random() < wrong.top_share else draw.choice((1, 1, 2))
            rule = f"{wrong.feature} to the top" if sent_to == _TOP else None
            return replace(
                _as_of(asked, wrong.feature),
                sent_to=sent_to,
                needs=1,
                rule=rule,
                judged=wrong.judged,
                is_planted=True,
                is_critical=False,
            )
        if power is not None:
            is_theirs = asked.sent_to == _TOP and self._theirs < self._top_cost * Decimal(str(power.share))
            if is_theirs or draw.random() < power.others_share:
                return replace(
                    _as_of(asked, power.feature),
                    user_id=power.user_id if is_theirs else asked.user_id,
                    signature=nearly(draw, power.signature),
                    sent_to=_TOP if is_theirs else 1,
                    needs=1,
                    rule=None,
                    is_critical=False,
                    judged=None if is_theirs else 0.3,
                    is_planted=True,
                )
        return asked


def prefix_of(feature: str) -> str:
    """Return the hash of the instructions of a feature."""
    return blake2b(feature.encode(), digest_size=8).hexdigest()


def nearly(draw: Random, signature: str) -> str:
    """Return the signature, or in every second case one that differs in up to three bits."""
    if draw.random() < _SAME:
        return signature
    bits = int(signature, 16)
    for _ in range(draw.randint(1, _MOST_FLIPPED)):
        bits ^= 1 << draw.randrange(_BITS)
    return f"{bits:016x}"


def _as_of(asked: Asked, feature: str) -> Asked:
    """Return the request as one of another feature."""
    _, query_type, service_class, prefix_tokens, *_ = _feature_named(feature)
    return replace(
        asked,
        feature=feature,
        query_type=query_type,
        service_class=ServiceClass(service_class),
        prefix=prefix_of(feature) if prefix_tokens else None,
        prefix_tokens=prefix_tokens,
        input_tokens=asked.input_tokens - asked.prefix_tokens + prefix_tokens,
    )


def _feature_named(name: str) -> tuple[str, str, str, int, int, int]:
    found = next((feature for feature in _FEATURES if feature[0] == name), None)
    return found or (name, "writing", "standard", 0, 900, 300)


def _type_of(draw: Random, feature: int) -> str:
    usual = _FEATURES[feature][1]
    return usual if draw.random() < _USUAL_TYPE else draw.choice(_TYPES)


def _tiers(draw: Random, query_type: str) -> tuple[int, int]:
    """Return the tier that a request needs and the one that it is sent to."""
    needs = _of_shares(draw, _NEEDS[query_type])
    off = draw.random()
    if off < _LOWER and needs > 1:
        return needs, needs - 1
    return needs, min(3, needs + 1) if off > 1 - _HIGHER else needs


def _of_shares(draw: Random, shares: Sequence[float]) -> int:
    at = draw.random()
    return 1 if at < shares[0] else 2 if at < shares[0] + shares[1] else 3
