"""Names and ids: what models are called, and what an answer's id says of its request."""

import base64
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config.settings import Settings
from tierstream.serve.places import Place
from tierstream.serve.request_ids import belongs_to, new_request_id, request_id_of
from tierstream.serve.surface import DoorError, Target
from tierstream.serve.targets import DeploymentTargets

MODEL = "openai/gpt-6-luna"


def targets(**models):
    return DeploymentTargets(Settings(serve={"models": models}))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("auto", Target("auto")),
        ("tier-2", Target("tier-2", min_tier=2, max_tier=2)),
        (MODEL, Target(MODEL, model=MODEL)),
        ("gpt-4o", Target("gpt-4o", model=MODEL)),
        ("anything", Target("anything")),
    ],
)
def test_what_names_stand_for(name, target):
    assert targets(**{"gpt-4o": MODEL}).target(name) == target


@pytest.mark.parametrize("name", ["tier-0", "tier-9", "tier-1x", "openai/gpt", "", "*"])
def test_where_no_other_names_are_taken_they_are_refused(name):
    with pytest.raises(DoorError) as refused:
        targets(**{"*": ""}).target(name)
    assert (refused.value.status, refused.value.param) == (404, "model")


def test_all_that_is_listed_is_known():
    known = targets(**{"gpt-4o": "tier-3", "*": ""})
    names = list(known.names())
    assert names[:4] == ["auto", "tier-1", "tier-2", "tier-3"]
    assert names[-1] == "gpt-4o"
    assert [known.target(name).name for name in names] == names


def test_an_alias_for_nothing_is_a_problem():
    assert list(targets(a="tier-7", b="auto").problems()) == [
        "serve.models: 'a' stands for 'tier-7', which is neither auto, a tier nor a model"
    ]


@given(st.integers(0, 1000), st.integers(0, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_token_says_where_its_request_stands(partition, offset, request_id):
    place = Place(partition, offset, request_id)
    assert Place.of(place.token()) == place


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_somebody_made_up_is_no_token_or_a_place(token):
    with suppress(DoorError):
        assert Place.of(token).token() == token


@pytest.mark.parametrize(
    "text", ["0:9223372036854775808:r", "2147483648:0:r", "-1:0:r", "0:-1:r", "0:00:r", "0:1_0:r", "0:1"]
)
def test_places_that_kafka_has_no_numbers_for_are_none(text):
    with pytest.raises(DoorError):
        Place.of(base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode())


def test_ids_sort_by_time_and_belong_to_their_callers():
    ids = [new_request_id() for _ in range(3)]
    assert {UUID(one).version for one in ids} == {7}
    assert len(set(ids)) == 3
    assert request_id_of("", "k") == "k"
    assert belongs_to(request_id_of("ann", "k"), "ann")
    assert not belongs_to(request_id_of("ann", "k"), "an")
    assert not belongs_to("k", "ann")
