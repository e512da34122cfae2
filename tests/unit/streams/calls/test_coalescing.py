"""Shared calls: which requests share, and who is counted when members come and go."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.in_memory import BASE, new_request, new_task
from support.tool_loop import tool

from streams.calls.coalescing import Follower, Share, SharedCall, SharedCallCancelledError, SharedCalls, share_key
from streams.config.settings_sections import ModelSettings
from topics.messages import Message, PlainFormat, TextPart
from topics.requests import Params, Request

MODEL = ModelSettings(provider="fast", model="a")
LATER = BASE + timedelta(seconds=30)
KEY = b"key"


async def _settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def _asked(**fields) -> Request:
    return new_request(**{"user_id": "ann", "params": Params(temperature=0), **fields})


def _key(
    request: Request, *, model: ModelSettings = MODEL, shared: tuple[str, ...] = (), tier: int = 1
) -> bytes | None:
    return share_key(new_task(request, tier=tier), model, request.messages, shared)


class TestShareKey:
    def test_requests_with_different_notes_behind_them_do_not_share(self):
        request = _asked()
        notes = [(), *((Message(role="user", content=said),) for said in ("wrong", "evasive"))]
        keys = {share_key(new_task(request), MODEL, (*request.messages, *note), ()) for note in notes}
        assert len(keys) == 3

    def test_identical_requests_of_one_user_share(self):
        first = _asked(request_id="r1", feature="chat", tags=("a",), timeout_ms=1000)
        second = _asked(request_id="r2", feature="mail", conversation_id="c", max_cost_usd=Decimal(1))
        assert _key(first) == _key(second)
        assert len(_key(first)) == 32

    @pytest.mark.parametrize(
        "fields",
        [
            {"user_id": None},
            {"user_id": ""},
            {"params": Params()},
            {"params": Params(temperature=0.1)},
            {"stream": True},
        ],
    )
    def test_what_must_not_be_shared_has_no_key(self, fields):
        assert _key(_asked(**fields)) is None

    def test_a_shared_feature_shares_whoever_asks_at_any_temperature(self):
        keys = {
            _key(new_request(request_id=f"r{i}", user_id=user, feature="faq"), shared=("faq",))
            for i, user in enumerate((None, "ann", "bob"))
        }
        assert len(keys) == 1
        assert None not in keys

    def test_a_shared_feature_never_shares_a_stream(self):
        assert _key(new_request(feature="faq", stream=True), shared=("faq",)) is None

    @pytest.mark.parametrize("shared", [(), ("faq",)])
    @pytest.mark.parametrize(
        "fields",
        [
            {"text": "What is 2 + 3?"},
            {"params": Params(temperature=0, max_tokens=1024)},
            {"params": Params(temperature=0, seed=1)},
            {"params": Params(temperature=0, stop=("a", "b"))},
            {"response_schema": {"type": "object"}},
            {"response_schema": {}},
            {"response_format": PlainFormat(type="json_object")},
            {"tools": (tool(),)},
            {"tools": (tool(), tool("listen"))},
            {"tools": (tool(),), "tool_choice": "required"},
            {"tools": (tool(),), "parallel_tool_calls": False},
            {"context": {"data_class": "public"}},
            {"context": {"data_class": "restricted"}},
        ],
    )
    def test_whatever_is_different_for_provider_or_reader_is_not_shared(self, fields, shared):
        assert _key(_asked(feature="faq", **fields), shared=shared) != _key(_asked(feature="faq"), shared=shared)

    def test_users_do_not_share_and_features_do_not_share(self):
        assert _key(_asked(user_id="ann")) != _key(_asked(user_id="bob"))
        shared = ("faq", "help")
        assert _key(_asked(feature="faq"), shared=shared) != _key(_asked(feature="help"), shared=shared)

    def test_a_user_and_a_feature_of_the_same_name_are_apart(self):
        assert _key(_asked(user_id="faq")) != _key(_asked(feature="faq"), shared=("faq",))

    @pytest.mark.parametrize(
        "change",
        [{"provider": "spare"}, {"model": "b"}, {"max_tokens": 7}, {"extra": {"reasoning_effort": "low"}}],
    )
    def test_another_call_is_not_shared(self, change):
        assert _key(_asked(), model=MODEL.model_copy(update=change)) != _key(_asked())

    def test_another_tier_is_not_shared(self):
        assert _key(_asked(), tier=2) != _key(_asked())

    def test_texts_do_not_run_into_each_other(self):
        one = (Message(role="user", content="a"), Message(role="user", content="b"))
        other = (Message(role="user", content='a"},{"role":"user","content":"b'),)
        parts = (Message(role="user", content=(TextPart(type="text", text="a"), TextPart(type="text", text="b"))),)
        joined = (Message(role="user", content="a\nb"),)
        keys = {_key(_asked().model_copy(update={"messages": messages})) for messages in (one, other, parts, joined)}
        assert len(keys) == 4


Book = SharedCalls[str, str]


async def _get(book: Book, name: str, log: list[str]) -> Share[str]:
    """Get an answer the way a stage does: join, or lead, or start anew; the log has what was journalled."""
    while True:
        follower = book.join(KEY, LATER)
        if follower is None:
            return await _lead(book.open(KEY, name, LATER), name, log)
        try:
            return await _follow(follower, name, log)
        except SharedCallCancelledError:
            log.append(f"{name} anew")


async def _lead(shared: SharedCall[str, str], name: str, log: list[str]) -> Share[str]:
    with shared:
        log.append(f"{name} leads")
        await asyncio.sleep(0)
        members = await shared.close()
        log.append(f"ended {' '.join(members)}")
        shared.finish("answer")
        return Share(0, len(members), "answer")


async def _follow(follower: Follower[str, str], name: str, log: list[str]) -> Share[str]:
    with follower:
        await asyncio.sleep(0)
        log.append(f"{name} follows {follower.leader}")
        follower.confirm(name)
        return await follower.share()


class TestSharedCalls:
    async def test_members_share_one_outcome_in_the_order_in_which_they_joined(self):
        book: Book = SharedCalls()
        log: list[str] = []
        shares = await asyncio.gather(*(_get(book, name, log) for name in ("a", "b", "c")))
        assert log == ["a leads", "b follows a", "c follows a", "ended a b c"]
        assert shares == [Share(index, 3, "answer") for index in range(3)]
        assert len(book) == 0

    async def test_a_call_that_ends_after_the_deadline_is_not_joined(self):
        book: Book = SharedCalls()
        shared = book.open(KEY, "a", LATER)
        assert book.join(KEY, LATER - timedelta(milliseconds=1)) is None
        assert book.join(KEY, LATER) is not None
        assert book.join(b"other", LATER) is None
        assert shared.ends_at == LATER

    async def test_a_full_call_takes_nobody_else_and_the_next_one_does(self):
        book: Book = SharedCalls(max_members=2)
        first = book.open(KEY, "a", LATER)
        follower = book.join(KEY, LATER)
        assert book.join(KEY, LATER) is None
        second = book.open(KEY, "c", LATER)
        follower.confirm("b")
        assert await first.close() == ("a", "b")
        assert book.join(KEY, LATER).leader == "c"
        second.fail(SharedCallCancelledError())
        assert len(book) == 0

    async def test_who_leaves_makes_room(self):
        book: Book = SharedCalls(max_members=2)
        book.open(KEY, "a", LATER)
        with book.join(KEY, LATER):
            assert book.join(KEY, LATER) is None
        assert book.join(KEY, LATER) is not None

    async def test_closing_waits_for_who_joined_just_before_and_takes_nobody_after(self):
        book: Book = SharedCalls()
        shared = book.open(KEY, "a", LATER)
        follower = book.join(KEY, LATER)
        closing = asyncio.create_task(shared.close())
        await _settle()
        assert not closing.done()
        assert book.join(KEY, LATER) is None
        follower.confirm("b")
        assert await closing == ("a", "b")

    async def test_closing_does_not_count_who_leaves_meanwhile(self):
        book: Book = SharedCalls()
        shared = book.open(KEY, "a", LATER)
        with book.join(KEY, LATER) as confirmed, book.join(KEY, LATER):
            confirmed.confirm("b")
            closing = asyncio.create_task(shared.close())
            await _settle()
            assert not closing.done()
        assert await closing == ("a",)

    async def test_a_member_that_leaves_after_the_close_keeps_its_share(self):
        book: Book = SharedCalls()
        shared = book.open(KEY, "a", LATER)
        gone, stays = book.join(KEY, LATER), book.join(KEY, LATER)
        with gone:
            gone.confirm("b")
            stays.confirm("c")
            assert await shared.close() == ("a", "b", "c")
        shared.finish("answer")
        assert await stays.share() == Share(2, 3, "answer")

    async def test_a_cancelled_member_is_not_counted_though_it_had_confirmed(self):
        book: Book = SharedCalls()
        shared = book.open(KEY, "a", LATER)
        member = asyncio.create_task(_follow(book.join(KEY, LATER), "b", []))
        await _settle()
        member.cancel()
        await _settle()
        assert member.cancelled()
        assert await shared.close() == ("a",)
        shared.finish("answer")

    async def test_finishing_before_the_close_is_an_error(self):
        shared = SharedCalls[str, str]().open(KEY, "a", LATER)
        with pytest.raises(RuntimeError, match="closed"):
            shared.finish("answer")

    async def test_members_of_a_cancelled_leader_start_anew_under_one_of_them(self):
        book: Book = SharedCalls()
        log: list[str] = []
        with book.open(KEY, "a", LATER):
            members = [asyncio.create_task(_get(book, name, log)) for name in ("b", "c")]
            await _settle()
        assert await asyncio.gather(*members) == [Share(0, 2, "answer"), Share(1, 2, "answer")]
        assert log == [
            "b follows a", "c follows a", "b anew", "b leads", "c anew", "c follows b", "ended b c",
        ]  # fmt: skip

    async def test_a_member_that_confirms_after_the_cancellation_learns_of_it(self):
        book: Book = SharedCalls()
        with book.open(KEY, "a", LATER):
            follower = book.join(KEY, LATER)
        with pytest.raises(SharedCallCancelledError):
            await _follow(follower, "b", [])

    async def test_a_leader_cancelled_while_it_closes_lets_its_members_go(self):
        book: Book = SharedCalls()
        log: list[str] = []
        leader = asyncio.create_task(_get(book, "a", log))
        await asyncio.sleep(0)
        follower = book.join(KEY, LATER)
        await _settle()
        leader.cancel()
        await _settle()
        with pytest.raises(SharedCallCancelledError), follower:
            await follower.share()

    async def test_a_failure_is_raised_in_each_member(self):
        book: Book = SharedCalls()
        shared = book.open(KEY, "a", LATER)
        members = [asyncio.create_task(_follow(book.join(KEY, LATER), name, [])) for name in ("b", "c")]
        await _settle()
        shared.fail(ConnectionError("no broker"))
        outcomes = await asyncio.gather(*members, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionError, ConnectionError]
        assert book.join(KEY, LATER) is None

    async def test_a_closed_call_does_not_take_its_successor_off_the_book(self):
        book: Book = SharedCalls()
        first = book.open(KEY, "a", LATER)
        book.open(KEY, "b", BASE)
        await first.close()
        first.finish("answer")
        assert book.join(KEY, LATER).leader == "b"


STEPS = st.lists(st.tuples(st.sampled_from(("come", "come", "turn", "cancel")), st.integers(0, 9)), max_size=40)


@settings(max_examples=examples(150))
@given(STEPS, st.integers(1, 4))
def test_under_any_schedule_everybody_has_an_outcome_or_was_cancelled_and_the_shares_are_complete(steps, max_members):
    async def run() -> None:
        book: Book = SharedCalls(max_members=max_members)
        log: list[str] = []
        tasks: list[asyncio.Task[Share[str]]] = []
        for step, number in steps:
            if step == "come":
                tasks.append(asyncio.create_task(_get(book, str(len(tasks)), log)))
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        ended = [line.split()[1:] for line in log if line.startswith("ended")]
        served = [name for members in ended for name in members]
        assert len(served) == len(set(served)), "paid for twice"
        for name, outcome in enumerate(outcomes):
            if isinstance(outcome, Share):
                [members] = [members for members in ended if str(name) in members]
                assert (outcome.index, outcome.n) == (members.index(str(name)), len(members))
            else:
                assert isinstance(outcome, asyncio.CancelledError)
        assert all(len(members) <= max_members for members in ended)
        assert len(book) == 0

    asyncio.run(run())
