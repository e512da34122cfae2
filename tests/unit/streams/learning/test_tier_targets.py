"""From labels of answers to what is known of the lowest tier that would have done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.learning.tier_targets import AnswerLabel, BoundaryTarget, KnownTiers, boundary_targets, known_tiers

NOTHING = BoundaryTarget()
labels = st.builds(AnswerLabel, st.integers(1, 4), st.floats(0, 1), st.floats(0, 1))


@pytest.mark.parametrize(
    ("found", "targets", "known"),
    [
        ([], (NOTHING, NOTHING), KnownTiers(0, 3)),
        ([AnswerLabel(1, 0.0, 1.0)], (BoundaryTarget(more=1.0), NOTHING), KnownTiers(1, 3)),
        ([AnswerLabel(2, 1.0, 0.5)], (NOTHING, BoundaryTarget(enough=0.5)), KnownTiers(0, 2)),
        (
            [AnswerLabel(1, 0.0, 1.0), AnswerLabel(2, 1.0, 1.0)],
            (BoundaryTarget(more=1.0), BoundaryTarget(enough=1.0)),
            KnownTiers(1, 2),
        ),
        ([AnswerLabel(2, 0.0, 1.0)], (NOTHING, BoundaryTarget(more=1.0)), KnownTiers(2, 3)),
        # Nothing is above the last tier, and a half-good answer says nothing.
        (
            [AnswerLabel(3, 0.0, 1.0), AnswerLabel(3, 1.0, 1.0), AnswerLabel(1, 0.5, 1.0)],
            (NOTHING,) * 2,
            KnownTiers(0, 3),
        ),
        # A user is half content, a judge is not.
        (
            [AnswerLabel(1, 0.75, 0.5), AnswerLabel(1, 0.0, 1.0)],
            (BoundaryTarget(enough=0.25, more=1.0), NOTHING),
            KnownTiers(1, 3),
        ),
    ],
)
def test_what_labels_say(found, targets, known):
    assert boundary_targets(found, 3) == targets
    assert known_tiers(targets) == known


def test_labels_can_contradict_each_other():
    found = known_tiers(boundary_targets([AnswerLabel(1, 1.0, 1.0), AnswerLabel(2, 0.0, 1.0)], 3))
    assert not found.is_consistent


@given(st.lists(labels))
def test_no_label_counts_more_than_its_weight_and_none_for_tiers_below(found):
    targets = boundary_targets(found, 4)
    for tier, target in enumerate(targets, 1):
        weight = sum(label.weight for label in found if label.tier == tier)
        assert target.enough + target.more <= weight + 1e-9
    known = known_tiers(targets)
    assert known.is_known(4)
    answered = {label.tier for label in found}
    assert known.too_low in {0, *answered}
    assert known.enough in {4, *answered}
