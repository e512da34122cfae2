"""What can be planted into made traffic, so that a report that should find it can be tested on it."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class PowerUser:
    """One user asks the top tier the same again and again, where lower tiers answer others who ask it well.

    Attributes:
        user_id: Who.
        feature: Where the question is asked.
        signature: Near-duplicate signature of the question, as a record has it; the user's differ in up to three bits.
        share: Of the cost of the top tier, about.
        others_share: Of all other requests, those that ask the same and are sent to the first tier.
    """

    user_id: str = "power-user"
    feature: str = "contract-intake"
    signature: str = "5a3c96e1d20b487f"
    share: float = 0.4
    others_share: float = 0.004


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A model costs another price from the beginning of a day on.

    Attributes:
        provider: Of the model.
        model: Its id.
        day: From 0 on, of the traffic.
        factor: By which all of its rates change.
    """

    provider: str = "openai"
    model: str = "gpt-6-luna"
    day: int = 10
    factor: Decimal = Decimal(2)


@dataclass(frozen=True, slots=True)
class SlowProvider:
    """A model takes longer than the other one of its tier, which is asked more often than else.

    Attributes:
        provider: Of the model.
        model: Its id.
        factor: By which its calls take longer.
        other_share: Of the calls of its tier that the other model has, as nothing is compared that is rare.
    """

    provider: str = "openai"
    model: str = "gpt-6-luna"
    factor: float = 3.0
    other_share: float = 0.35


@dataclass(frozen=True, slots=True)
class MisTiered:
    """A rule sends most requests of a feature to the top tier, whose answers are no better than those of lower ones.

    Attributes:
        feature: Which.
        share: Of all requests.
        top_share: Of the feature's requests that go to the top tier; the others go to the tiers below.
        judged: Share of the feature's answers that a judge looks at.
    """

    feature: str = "release-notes"
    share: float = 0.02
    top_share: float = 0.6
    judged: float = 0.3


@dataclass(frozen=True, slots=True)
class Plants:
    """What is planted; nothing unless it is named."""

    power_user: PowerUser | None = None
    price_change: PriceChange | None = None
    slow_provider: SlowProvider | None = None
    mis_tiered: MisTiered | None = None

    @classmethod
    def all(cls) -> "Plants":
        """Plant one of each."""
        return cls(PowerUser(), PriceChange(), SlowProvider(), MisTiered())
