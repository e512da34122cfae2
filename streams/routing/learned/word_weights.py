"""A linear model of the words: a weight for each, which carries on where the trees have too few rows to split."""

from dataclasses import dataclass

from streams.routing.learned.forest import Floats, Ints


@dataclass(frozen=True, slots=True)
class WordWeights:
    """A weighted sum of the words of a text, each by its tf-idf.

    Attributes:
        weight: (vocabulary,)
        intercept: What a text without any known word comes to.
    """

    weight: Floats
    intercept: float

    def predict(self, words: Ints, tf_idf: Floats) -> float:
        """Return the sum for the words of a text, of which no two are the same."""
        return float(tf_idf.dot(self.weight.take(words))) + self.intercept
