"""Shared calls: which requests share, that the parts add up exactly, and who is counted when members come and go."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.in_memory import BASE, new_request, new_task

from streams.calls.coalescing import Flight, FlightBook, FlightCancelledError, Seat, Share, share_key, split
from streams.config.settings_sections import ModelSettings
from topics.journal import Rates, Usage
from topics.requests import Message, Params, Request, TextPart

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
    return share_key(new_task(request, tier=tier), model, shared)


class TestShareKey:
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


counts = st.integers(0, 50) | st.integers(0, 10**9)
rate = st.decimals(0, 1000, places=6)
rates = st.builds(Rates, input=rate, output=rate, cached=rate, cache_write=st.none() | rate, source=st.just("config"))
sources = st.sampled_from(("provider", "estimated"))
shares = st.integers(1, 40)


@st.composite
def usages(draw) -> Usage:
    fresh, cached, written, plain, reasoning = (draw(counts) for _ in range(5))
    return Usage(
        input=fresh + cached + written,
        output=plain + reasoning,
        cached=cached,
        cache_written=written,
        reasoning=reasoning,
        source=draw(sources),
    )


TOKENS = ("input", "output", "cached", "cache_written", "reasoning")


def _check_sums(usage: Usage, rates: Rates, parts: list[tuple[Usage, Decimal]]) -> None:
    for name in TOKENS:
        assert sum(getattr(part, name) for part, _ in parts) == getattr(usage, name)
    assert sum(cost for _, cost in parts) == rates.cost(usage)
    for part, cost in parts:
        assert Usage.model_validate(part.model_dump()) == part
        assert part.source == usage.source
        assert cost == rates.cost(part)


@given(usages(), rates, shares)
def test_parts_are_usages_and_add_up_exactly(usage, rates, n):
    parts = split(usage, rates, n)
    assert len(parts) == n
    _check_sums(usage, rates, parts)
    for part, _ in parts:
        assert part.cached + part.cache_written <= part.input
        assert part.reasoning <= part.output


@given(usages(), rates, shares)
def test_parts_are_even_and_nobody_gets_all_odd_tokens(usage, rates, n):
    parts = [part for part, _ in split(usage, rates, n)]
    for name in TOKENS:
        amounts = [getattr(part, name) for part in parts]
        assert max(amounts) - min(amounts) <= 1
    for amounts in (
        [part.input - part.cached - part.cache_written for part in parts],
        [part.output - part.reasoning for part in parts],
        [part.input + part.output for part in parts],
    ):
        assert max(amounts) - min(amounts) <= 1


@given(
    st.builds(Usage, input=counts, output=counts, cached=counts, cache_written=counts, reasoning=counts), rates, shares
)
def test_counts_that_contradict_each_other_add_up_all_the_same(usage, rates, n):
    _check_sums(usage, rates, split(usage, rates, n))


def test_a_call_alone_is_its_own_share():
    usage = Usage(input=10, output=5, cached=3, cache_written=2, reasoning=1)
    prices = Rates(input=Decimal(1), output=Decimal(10), cached=Decimal("0.1"), source="config")
    assert split(usage, prices, 1) == [(usage, prices.cost(usage))]


def test_nobody_to_share_with_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        split(Usage(input=1, output=1), Rates(input=0, output=0, cached=0, source="config"), 0)


Book = FlightBook[str, str]


async def _fly(book: Book, name: str, log: list[str]) -> Share[str]:
    """Get an answer the way a stage does: join, or lead, or start anew; the log has what was journalled."""
    while True:
        seat = book.join(KEY, LATER)
        if seat is None:
            return await _lead(book.open(KEY, name, LATER), name, log)
        try:
            return await _follow(seat, name, log)
        except FlightCancelledError:
            log.append(f"{name} anew")


async def _lead(flight: Flight[str, str], name: str, log: list[str]) -> Share[str]:
    with flight:
        log.append(f"{name} leads")
        await asyncio.sleep(0)
        members = await flight.close()
        log.append(f"ended {' '.join(members)}")
        flight.finish("answer")
        return Share(0, len(members), "answer")


async def _follow(seat: Seat[str, str], name: str, log: list[str]) -> Share[str]:
    with seat:
        await asyncio.sleep(0)
        log.append(f"{name} follows {seat.leader}")
        seat.confirm(name)
        return await seat.landed()


class TestFlights:
    async def test_members_share_one_outcome_in_the_order_in_which_they_joined(self):
        book: Book = FlightBook()
        log: list[str] = []
        shares = await asyncio.gather(*(_fly(book, name, log) for name in ("a", "b", "c")))
        assert log == ["a leads", "b follows a", "c follows a", "ended a b c"]
        assert shares == [Share(index, 3, "answer") for index in range(3)]
        assert len(book) == 0

    async def test_a_flight_that_ends_after_the_deadline_is_not_joined(self):
        book: Book = FlightBook()
        flight = book.open(KEY, "a", LATER)
        assert book.join(KEY, LATER - timedelta(milliseconds=1)) is None
        assert book.join(KEY, LATER) is not None
        assert book.join(b"other", LATER) is None
        assert flight.ends_at == LATER

    async def test_a_full_flight_takes_nobody_else_and_the_next_one_does(self):
        book: Book = FlightBook(max_members=2)
        first = book.open(KEY, "a", LATER)
        seat = book.join(KEY, LATER)
        assert book.join(KEY, LATER) is None
        second = book.open(KEY, "c", LATER)
        seat.confirm("b")
        assert await first.close() == ("a", "b")
        assert book.join(KEY, LATER).leader == "c"
        second.fail(FlightCancelledError())
        assert len(book) == 0

    async def test_who_leaves_makes_room(self):
        book: Book = FlightBook(max_members=2)
        book.open(KEY, "a", LATER)
        with book.join(KEY, LATER):
            assert book.join(KEY, LATER) is None
        assert book.join(KEY, LATER) is not None

    async def test_closing_waits_for_who_joined_just_before_and_takes_nobody_after(self):
        book: Book = FlightBook()
        flight = book.open(KEY, "a", LATER)
        seat = book.join(KEY, LATER)
        closing = asyncio.create_task(flight.close())
        await _settle()
        assert not closing.done()
        assert book.join(KEY, LATER) is None
        seat.confirm("b")
        assert await closing == ("a", "b")

    async def test_closing_does_not_count_who_leaves_meanwhile(self):
        book: Book = FlightBook()
        flight = book.open(KEY, "a", LATER)
        with book.join(KEY, LATER) as confirmed, book.join(KEY, LATER):
            confirmed.confirm("b")
            closing = asyncio.create_task(flight.close())
            await _settle()
            assert not closing.done()
        assert await closing == ("a",)

    async def test_a_member_that_leaves_after_the_close_keeps_its_share(self):
        book: Book = FlightBook()
        flight = book.open(KEY, "a", LATER)
        gone, stays = book.join(KEY, LATER), book.join(KEY, LATER)
        with gone:
            gone.confirm("b")
            stays.confirm("c")
            assert await flight.close() == ("a", "b", "c")
        flight.finish("answer")
        assert await stays.landed() == Share(2, 3, "answer")

    async def test_a_cancelled_member_is_not_counted_though_it_had_confirmed(self):
        book: Book = FlightBook()
        flight = book.open(KEY, "a", LATER)
        member = asyncio.create_task(_follow(book.join(KEY, LATER), "b", []))
        await _settle()
        member.cancel()
        await _settle()
        assert member.cancelled()
        assert await flight.close() == ("a",)
        flight.finish("answer")

    async def test_landing_before_the_close_is_an_error(self):
        flight = FlightBook[str, str]().open(KEY, "a", LATER)
        with pytest.raises(RuntimeError, match="closed"):
            flight.finish("answer")

    async def test_members_of_a_cancelled_leader_start_anew_under_one_of_them(self):
        book: Book = FlightBook()
        log: list[str] = []
        with book.open(KEY, "a", LATER):
            members = [asyncio.create_task(_fly(book, name, log)) for name in ("b", "c")]
            await _settle()
        assert await asyncio.gather(*members) == [Share(0, 2, "answer"), Share(1, 2, "answer")]
        assert log == [
            "b follows a", "c follows a", "b anew", "b leads", "c anew", "c follows b", "ended b c",
        ]  # fmt: skip

    async def test_a_member_that_confirms_after_the_cancellation_learns_of_it(self):
        book: Book = FlightBook()
        with book.open(KEY, "a", LATER):
            seat = book.join(KEY, LATER)
        with pytest.raises(FlightCancelledError):
            await _follow(seat, "b", [])

    async def test_a_leader_cancelled_while_it_closes_lets_its_members_go(self):
        book: Book = FlightBook()
        log: list[str] = []
        leader = asyncio.create_task(_fly(book, "a", log))
        await asyncio.sleep(0)
        seat = book.join(KEY, LATER)
        await _settle()
        leader.cancel()
        await _settle()
        with pytest.raises(FlightCancelledError), seat:
            await seat.landed()

    async def test_a_failure_is_raised_in_each_member(self):
        book: Book = FlightBook()
        flight = book.open(KEY, "a", LATER)
        members = [asyncio.create_task(_follow(book.join(KEY, LATER), name, [])) for name in ("b", "c")]
        await _settle()
        flight.fail(ConnectionError("no broker"))
        outcomes = await asyncio.gather(*members, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionError, ConnectionError]
        assert book.join(KEY, LATER) is None

    async def test_a_closed_flight_does_not_take_its_successor_off_the_book(self):
        book: Book = FlightBook()
        first = book.open(KEY, "a", LATER)
        book.open(KEY, "b", BASE)
        await first.close()
        first.finish("answer")
        assert book.join(KEY, LATER).leader == "b"


STEPS = st.lists(st.tuples(st.sampled_from(("come", "come", "turn", "cancel")), st.integers(0, 9)), max_size=40)


@settings(max_examples=150)
@given(STEPS, st.integers(1, 4))
def test_under_any_schedule_everybody_lands_or_was_cancelled_and_the_shares_are_complete(steps, max_members):
    async def run() -> None:
        book: Book = FlightBook(max_members=max_members)
        log: list[str] = []
        tasks: list[asyncio.Task[Share[str]]] = []
        for step, number in steps:
            if step == "come":
                tasks.append(asyncio.create_task(_fly(book, str(len(tasks)), log)))
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
