"""The classes of words and signs whose occurrences the learned classifier counts; a token belongs to one at most."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

_WORDS: Final[dict[str, str]] = {
    "which": "which",
    "what": "what",
    "how": "how",
    "why": "why",
    "who": "who whom whose",
    "when": "when",
    "where": "where",
    "if": "if",
    "following": "following",
    "best": "best",
    "most": "most",
    "likely": "likely probably",
    "because": "because since therefore thus so",
    "third_person": "he she his her him",
    "second_person": "you your",
    "first_person": "i my me we our",
    "plural_person": "they their them",
    "modal": "would should could might may must will can",
    "each": "each every per",
    "compare": "more less fewer times twice half double triple than",
    "percent": "% percent percentage",
    "money": "$ £ € dollars cents",
    "calculate": "calculate compute determine find value equal equals total many much",
    "according": "according",
    "claim": "claim claims argue argues argument believe believes think thinks holds theory theories",
    "statement": "statement statements",
    "operator": "= + * / ^ < > × ÷ √ ∫ ∑ ≤ ≥ ± → ∀ ∃ ∨ ∧ ⊃ ≡ ~ · • | \\",
    "bracket": "( )",
    "code": "{ } [ ] def return import class function",
    "separator": "; :",
    "comma": ",",
    "stop": ".",
    "question": "?",
    "quote": '" “ ”',
    "apostrophe": "' ’ ‘",
    "hyphen": "- – — −",
    "negation": "not except least never no none cannot neither nor false incorrect without",
    "roman": "ii iii iv",
    "all_of": "all both above either",
    "yes": "yes",
    "true": "true",
    "article": "the",
    "indefinite": "a an",
    "of": "of",
    "and": "and",
    "or": "or",
    "to_be": "is are was were be been",
    "unit": "kg g mg m cm mm km s ms h n j v w hz mol l ml k c mmhg ev nm atm ohm ω",
}

STEM_CATEGORIES: Final = tuple(_WORDS)
"""Counted in the question."""
OPTION_CATEGORIES: Final = (
    "negation", "operator", "bracket", "comma", "all_of", "roman", "quote", "yes", "true", "because", "unit",
    "hyphen", "of", "modal", "percent", "money",
)  # fmt: skip
"""Counted in the options too."""
NEGATIONS: Final = frozenset(_WORDS["negation"].split())

_INDEX_OF: Final = {word: index for index, words in enumerate(_WORDS.values()) for word in words.split()}.get


def count_categories(tokens: Iterable[str]) -> list[int]:
    """Count the tokens of each of `STEM_CATEGORIES`."""
    counts = [0] * len(STEM_CATEGORIES)
    for index, count in Counter(map(_INDEX_OF, tokens)).items():
        if index is not None:
            counts[index] = count
    return counts
