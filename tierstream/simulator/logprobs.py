"""Log probabilities of an answer's tokens, made up: likely ones, with alternatives that are less so.

Source: https://platform.openai.com/docs/api-reference/chat/object.
"""

import math
from typing import Final

from tierstream.simulator.chat import MAX_PIECES, stable_share
from tierstream.simulator.tokens import split_tokens

_LEAST_PROBABILITY: Final = 0.55
_ALTERNATIVES: Final = (" the", " a", ".", " and", ",", " it", " of", " to", " in", " is")


def token_logprobs(text: str, top: int) -> list[dict[str, object]]:
    """An entry for each token of a text.

    Args:
        text: It; the tokens are its parts in order.
        top: How many likely tokens each entry names, the one of the text first.
    """
    return [_entry(token, top, stable_share("logprob", text, str(at))) for at, token in enumerate(split_tokens(text))]


def _entry(token: str, top: int, share: float) -> dict[str, object]:
    probability = _LEAST_PROBABILITY + (1 - _LEAST_PROBABILITY) * share * 0.999
    others = [other for other in _ALTERNATIVES if other != token][: max(0, top - 1)]
    # Each has half of what those before it leave.
    likely = [(token, probability)]
    likely += [(other, (1 - probability) / 2**place) for place, other in enumerate(others, start=1)]
    entries = [
        {"token": each, "logprob": round(math.log(p), 6), "bytes": list(each.encode("utf-8", "surrogatepass"))}
        for each, p in likely
    ]
    return {**entries[0], "top_logprobs": entries[:top]}


def in_pieces(entries: list[dict[str, object]]) -> list[list[dict[str, object]]]:
    """The entries in at most `MAX_PIECES` groups, as they are streamed."""
    size = max(1, -(-len(entries) // MAX_PIECES))
    return [entries[start : start + size] for start in range(0, len(entries), size)]
