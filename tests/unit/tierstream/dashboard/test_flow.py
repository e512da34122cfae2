"""The flow: every request has its place in each column, and bands fit the places that they join."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierstream.dashboard.flow import NARROW, WIDE, Path, lay_out

paths = st.lists(
    st.builds(
        Path,
        first_tier=st.integers(0, 4),
        tier=st.integers(0, 4),
        status=st.sampled_from(["ok", "degraded", "failed", "expired", "new_one"]),
        requests=st.integers(1, 10_000_000),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda path: (path.first_tier, path.tier, path.status),
)


@given(paths, st.sampled_from([WIDE, NARROW]))
def test_nothing_lies_over_anything_else_of_its_column(drawn, layout):
    flow = lay_out(drawn, layout)
    columns = {}
    for node in flow.nodes:
        columns.setdefault(node.x, []).append(node)
    assert len(columns) == 4
    for nodes in columns.values():
        assert all(upper.y + upper.height < lower.y for upper, lower in pairwise(nodes))
    assert len(flow.bands) == sum(
        len({ends(path) for path in drawn})
        for ends in (
            lambda path: path.first_tier,
            lambda path: (path.first_tier, path.tier),
            lambda path: (path.tier, path.status),
        )
    )


def test_a_place_says_what_it_is_and_finds_its_requests():
    flow = lay_out([Path(1, 1, "ok", 90), Path(1, 2, "ok", 8), Path(2, 0, "failed", 2)], WIDE)
    said = {node.spoken: node.query for node in flow.nodes}
    assert said["Requests 100, 100 % of requests in all: show them"] == {}
    assert said["Tier 1 98 · 98.0 %, 98.0 % of requests first sent there: show them"] == {"first_tier": "1"}
    assert said["No answer 2 · 2.0 %, 2.0 % of requests answered there: show them"] == {"tier": "0"}
    assert said["Ok 98 · 98.0 %, 98.0 % of requests ended so: show them"] == {"status": "ok"}
    assert {band.spoken for band in flow.bands} >= {"Tier 1 to Tier 2: 8", "Tier 2 to No answer: 2"}
    for band in flow.bands:
        assert re.fullmatch(r"M[-\d. ]+C[-\d. ]+V[-\d.]+C[-\d. ]+Z", band.d)


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_without_requests_nothing_is_drawn(layout):
    assert lay_out([], layout).nodes == ()
