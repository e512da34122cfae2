"""What a client sees of an answer that streams, breaks off and begins anew."""

from uuid import UUID

import pytest
from support.door_answers import result_of

from tierstream.serve.shown_answer import ShownAnswer
from tierstream.serve.surface import DoorError
from topics.events import Chunk

FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


def chunk(call, seq, text="", kind="text", revision=0):
    at = "2026-01-01T00:00:00Z"
    return Chunk(
        request_id="r", revision=revision, attempt_id=UUID(int=9), call_id=call, seq=seq, kind=kind, text=text, at=at
    )


def shown(*chunks):
    answer = ShownAnswer()
    return [list(answer.add(one)) for one in chunks]


def test_text_goes_out_as_it_comes():
    assert shown(chunk(FIRST, 0, "Par"), chunk(FIRST, 1, "is", "done")) == [["Par"], ["is"]]


def test_a_call_that_begins_anew_is_shown_from_where_it_goes_on():
    came = shown(
        chunk(FIRST, 0, "Paris is"),
        chunk(FIRST, 1, kind="broken"),
        chunk(SECOND, 0, "Paris"),
        chunk(SECOND, 1, " is big"),
        chunk(SECOND, 2, "."),
    )
    assert came == [["Paris is"], [], [], [" big"], ["."]]


def test_another_call_that_stops_short_leaves_the_next_one_its_chance():
    came = shown(chunk(FIRST, 0, "Paris is"), chunk(SECOND, 0, "Par"), chunk(THIRD, 0, "Paris is big"))
    assert came == [["Paris is"], [], [" big"]]


def test_before_anything_is_shown_any_call_may_begin():
    assert shown(chunk(FIRST, 0, kind="broken"), chunk(SECOND, 0, "London")) == [[], ["London"]]


def test_another_text_ends_the_stream():
    answer = ShownAnswer()
    answer.add(chunk(FIRST, 0, "Paris"))
    with pytest.raises(DoorError) as refused:
        answer.add(chunk(SECOND, 0, "London"))
    assert (refused.value.code, refused.value.may_retry) == ("stream_restarted", True)
    assert "Idempotency-Key" in refused.value.message


def test_who_comes_in_the_middle_waits_for_the_result():
    assert shown(chunk(FIRST, 3, "middle"), chunk(FIRST, 4, "end", "done")) == [[], []]


def test_who_comes_in_the_middle_lacks_the_beginning_of_that_call_and_of_no_other():
    answer = ShownAnswer()
    middle = chunk(SECOND, 1, " is big")
    assert not answer.lacks_beginning_of(chunk(SECOND, 0, "Paris"))
    assert answer.lacks_beginning_of(middle)
    assert not answer.lacks_beginning_of(chunk(SECOND, 1, revision=1))
    for earlier in (chunk(FIRST, 0, "Par"), chunk(SECOND, 0, "Paris")):
        answer.add(earlier)
    assert not answer.lacks_beginning_of(middle)
    assert not answer.lacks_beginning_of(chunk(FIRST, 1, "is"))


def test_an_answer_is_whole_once_the_attempt_of_its_result_has_said_its_last():
    answer, result = ShownAnswer(), result_of(["Paris"], attempt_id=UUID(int=9))
    answer.add(chunk(FIRST, 0, "Par"))
    assert not answer.is_whole(result)
    answer.add(chunk(FIRST, 1, "is", "done"))
    assert answer.is_whole(result)
    assert not answer.is_whole(result.model_copy(update={"attempt_id": UUID(int=8)}))
    assert not answer.is_whole(result.model_copy(update={"attempt_id": None}))


def test_a_call_that_was_replaced_is_void_whatever_it_still_says():
    came = shown(chunk(FIRST, 0, "A"), chunk(SECOND, 0, "A"), chunk(FIRST, 1, "X"), chunk(SECOND, 1, "B"))
    assert came == [["A"], [], [], ["B"]]


def test_later_revisions_are_none_of_it():
    assert shown(chunk(FIRST, 0, "again", revision=1)) == [[]]
