"""Whose cost changed: by user the ledger's sums know neither requests nor kinds of tokens, so less can be told apart.

Volume is the number of a user's calls, those of escalated tasks too. The price is that of a token on average, so that
cached tokens and the relation of input and output are in it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from analytics.change.decomposition import Changed, decomposed
from analytics.change.measured import NOTHING, OUTPUT, Cell, Measured, Paid
from analytics.change.shapley import EXACT

USERS_EFFECTS = ("volume", "mix", "tokens", "price")


def changed_by_user(rows: Sequence[Mapping[str, Any]]) -> dict[str, Changed]:
    """Split the difference of each user's cost.

    Args:
        rows: Of `change_users.sql`, without that of the users who are not named.
    """
    sides = [_measured(rows, side) for side in ("before", "after")]
    with localcontext(EXACT):
        found: dict[str, Changed] = {}
        for cell, changed in decomposed(*sides).items():
            found[cell.feature] = found[cell.feature] + changed if cell.feature in found else changed
        return found


def _measured(rows: Sequence[Mapping[str, Any]], side: str) -> Measured:
    """A user stands where cells have their feature, and calls for requests, as there are none."""
    paid: dict[Cell, Paid] = {}
    for row in rows:
        calls, tokens, cost = (row[f"{name}_{side}"] for name in ("calls", "tokens", "cost"))
        if not (tokens or cost):
            continue
        cell = Cell(
            feature=row["user"],
            query_type="",
            purpose="infer",
            escalated=False,
            tier=0,
            provider=row["provider"],
            model=row["model"],
        )
        paid[cell] = Paid(calls, {**NOTHING.tokens, OUTPUT: tokens}, {**NOTHING.costs, OUTPUT: Decimal(cost)})
    return Measured(paid)
