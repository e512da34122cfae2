"""Lists, a part at a time. Source: https://platform.openai.com/docs/api-reference/batch/list."""

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import QueryParams

from tierstream.serve.batches.objects import listed
from tierstream.serve.batches.store import not_a_batch


def page(found: Sequence[dict[str, Any]], query: QueryParams, *, usual: int, most: int) -> dict[str, Any]:
    """Write the part of a list that is asked for.

    Args:
        found: The list.
        query: `after`, the id behind which the part begins, and `limit`.
        usual: How many where nothing is said.
        most: How many at most.

    Raises:
        DoorError: 400, the query is wrong.
    """
    limit = query.get("limit", str(usual))
    if not limit.isdecimal() or not 0 < int(limit[:9]) <= most:
        raise not_a_batch(f"limit must be a number from 1 to {most}", "limit")
    start, after = 0, query.get("after")
    if after is not None:
        places = [number for number, one in enumerate(found) if one["id"] == after]
        if not places:
            raise not_a_batch("nothing in the list has this id", "after")
        start = places[0] + 1
    part = found[start : start + int(limit)]
    return listed(part, has_more=len(found) > start + len(part))
