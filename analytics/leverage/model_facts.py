"""What is known of a model beside what the ledger says; whoever asks for a report looks it up."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

UNLIMITED: Final = 2**40
"""More tokens than any call has."""
_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class TokenRates:
    """US dollars a million tokens, by kind."""

    fresh: Decimal
    cached: Decimal
    written: Decimal
    output: Decimal

    def cost(self, *, fresh: int, cached: int, written: int, output: Decimal) -> Decimal:
        """Price tokens in US dollars."""
        given = fresh * self.fresh + cached * self.cached + written * self.written
        return (given + output * self.output) / _MILLION


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model that calls could move to.

    Attributes:
        ref: `provider/model`.
        rates: Its list prices now.
        window: Tokens of input and output together, at most.
        max_input: Tokens of input.
        max_output: Tokens of output.
        data_classes: What its provider may see.
    """

    ref: str
    rates: TokenRates
    window: int = UNLIMITED
    max_input: int = UNLIMITED
    max_output: int = UNLIMITED
    data_classes: frozenset[str] = frozenset()

    @property
    def provider(self) -> str:
        """Whose it is."""
        return self.ref.partition("/")[0]


FactsOf = Callable[[Iterable[str]], Mapping[str, ModelFacts]]
"""Looks up models by their names; those that nobody can call any more, or whose price is unknown, are left out."""
