"""The vendors' batches against the provider simulator: handed over once, found again, and read as calls are."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from support.provider_calls import PROMPT, at_once, built, call_of, settings_with_all
from support.shipped_providers import NAMES, SHIPPED

from streams.config.protocols import PROTOCOLS
from streams.config.settings import Settings
from streams.providers.base import ChatCall, ErrorKind, Provider, ProviderError
from streams.providers.batches import LineEnd, ProviderBatches, UndecidedError, may_have_arrived
from tierstream.simulator import RunningSimulator, running_simulator
from topics.messages import Message

BATCHED = [name for name in NAMES if PROTOCOLS[SHIPPED[name]["protocol"]].has_batches]
NAMED = [name for name in BATCHED if name != "anthropic"]
NAME = "submission-1"
MANY_S = 3600

each = pytest.mark.parametrize("name", BATCHED)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return settings_with_all()


@dataclass
class Simulated:
    simulator: RunningSimulator
    provider: Provider
    batches: ProviderBatches
    model: str
    begun: datetime

    def calls(self, count: int = 3) -> dict[str, ChatCall]:
        """Calls, by their ids."""
        return {
            f"{place}-of-{count}": call_of(self.model, messages=(Message(role="user", content=f"{PROMPT} {place}"),))
            for place in range(count)
        }

    async def submit(
        self, calls: dict[str, ChatCall], name: str = NAME, may_leave: Callable[[], Awaitable[None]] = at_once
    ) -> str:
        lines = [await self.batches.write_line(*one) for one in calls.items()]
        return await self.batches.submit(name, lines, may_leave)

    async def fail_to_submit(self, calls: dict[str, ChatCall]) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.submit(calls)
        assert "SECRET" not in str(caught.value)
        return caught.value

    async def find(self, calls: dict[str, ChatCall], name: str = NAME) -> str | None:
        return await self.batches.find(name, list(calls), self.begun)

    async def ends(self, batch_id: str) -> dict[str, LineEnd]:
        """How the calls of a batch came out, once it has ended."""
        await self.simulator.ended_batches(len(self.simulator.batches))
        async with aclosing(self.batches.line_ends(batch_id)) as ends:
            found = {end.custom_id: end async for end in ends}
        assert not any("SECRET" in str(end.error) for end in found.values())
        return found


@pytest.fixture
def simulating(settings):
    @asynccontextmanager
    async def simulate(name: str, *, time_scale: float = 0) -> AsyncIterator[Simulated]:
        models = {model.provider: model.model for model in settings.tiers[0].models}
        async with (
            running_simulator(time_scale=time_scale) as simulator,
            built(settings, simulator.url) as providers,
        ):
            batches = providers[name].batches
            assert batches is not None
            yield Simulated(simulator, providers[name], batches, models[name], datetime.now(UTC))

    return simulate


@each
async def test_calls_of_a_batch_are_answered_as_if_each_were_made(simulating, name):
    async with simulating(name) as simulated:
        calls = simulated.calls()
        batch_id = await simulated.submit(calls)
        ends = await simulated.ends(batch_id)
        progress = await simulated.batches.progress(batch_id)
        assert (progress.has_ended, progress.refusal) == (True, None)
        assert ends.keys() == calls.keys()
        for custom_id, call in calls.items():
            reply = simulated.batches.read(call, ends[custom_id].body)
            alone = await simulated.provider.complete(call)
            assert (reply.content, reply.finish_reason, reply.model) == (
                alone.content,
                alone.finish_reason,
                alone.model,
            )
            assert (reply.usage.input, reply.usage.output) == (alone.usage.input, alone.usage.output)
            assert reply.usage.source == "provider"
        [batch] = simulated.simulator.batches
        assert (batch["id"], batch["custom_ids"]) == (batch_id, list(calls))


@each
async def test_a_batch_whose_submitter_heard_nothing_is_found(simulating, name):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(submit_cut=1)
        calls, others = simulated.calls(3), simulated.calls(2)
        error = await simulated.fail_to_submit(calls)
        assert (error.kind, may_have_arrived(error)) == (ErrorKind.CUT, True)
        simulated.simulator.reset()
        await simulated.submit(others, "submission-2")
        [cut, other] = await simulated.simulator.ended_batches(2)
        assert await simulated.find(calls) == cut["id"]
        assert await simulated.find(others, "submission-2") == other["id"]
        assert await simulated.find({"nobody": call_of("m")}, "submission-3") is None
        assert len(simulated.simulator.batches) == 2


async def test_without_a_name_an_open_batch_leaves_it_undecided(simulating):
    async with simulating("anthropic", time_scale=1) as simulated:
        simulated.simulator.set_behaviour(batch_s=MANY_S)
        calls = simulated.calls()
        batch_id = await simulated.submit(calls)
        with pytest.raises(UndecidedError):
            await simulated.find(calls)
        # Of more calls than ours it can't be.
        assert await simulated.find(simulated.calls(2)) is None
        await simulated.batches.cancel(batch_id)
        await simulated.simulator.ended_batches(1)
        assert await simulated.find(calls) == batch_id


@pytest.mark.parametrize("name", NAMED)
async def test_a_name_tells_while_a_batch_is_open(simulating, name):
    async with simulating(name, time_scale=1) as simulated:
        simulated.simulator.set_behaviour(batch_s=MANY_S)
        calls = simulated.calls()
        batch_id = await simulated.submit(calls)
        assert await simulated.find(calls) == batch_id
        assert await simulated.find(calls, "another") is None


@each
async def test_what_was_made_long_before_is_not_looked_at(simulating, name):
    async with simulating(name) as simulated:
        calls = simulated.calls()
        await simulated.submit(calls)
        await simulated.simulator.ended_batches(1)
        later = datetime.now(UTC) + timedelta(hours=1)
        assert await simulated.batches.find(NAME, list(calls), later) is None


@each
async def test_a_batch_that_is_called_off(simulating, name):
    async with simulating(name, time_scale=1) as simulated:
        simulated.simulator.set_behaviour(batch_s=MANY_S)
        calls = simulated.calls()
        batch_id = await simulated.submit(calls)
        assert not (await simulated.batches.progress(batch_id)).has_ended
        await simulated.batches.cancel(batch_id)
        ends = await simulated.ends(batch_id)
        await simulated.batches.cancel(batch_id)
        assert (await simulated.batches.progress(batch_id)).has_ended
        assert ends.keys() == calls.keys()
        assert {(end.body, end.error.kind) for end in ends.values()} == {(None, ErrorKind.BATCH_ENDED)}


@each
async def test_calls_that_had_no_turn(simulating, name):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(batch_lines_expire=1)
        ends = await simulated.ends(await simulated.submit(simulated.calls()))
        assert [(end.body, end.error.kind, end.error.usage) for end in ends.values()] == [
            (None, ErrorKind.BATCH_ENDED, None)
        ] * 3


@each
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ({"rate_500": 1}, ErrorKind.SERVER_ERROR),
        ({"rate_503": 1}, ErrorKind.OVERLOADED),
        ({"rate_429": 1}, ErrorKind.RATE_LIMITED),
        ({"context_window": 4}, ErrorKind.CONTEXT_TOO_LONG),
    ],
)
async def test_calls_that_failed(simulating, name, behaviour, kind):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(**behaviour)
        batch_id = await simulated.submit(simulated.calls(2))
        ends = await simulated.ends(batch_id)
        assert [(end.body, end.error.kind) for end in ends.values()] == [(None, kind)] * 2
        assert await simulated.batches.progress(batch_id) is not None


@each
async def test_an_empty_answer_is_billed(simulating, name):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(rate_empty=1)
        calls = simulated.calls(1)
        [end] = (await simulated.ends(await simulated.submit(calls))).values()
        with pytest.raises(ProviderError) as caught:
            simulated.batches.read(calls[end.custom_id], end.body)
        assert (caught.value.kind, caught.value.usage.source) == (ErrorKind.EMPTY, "provider")


@each
async def test_lines_out_of_form_are_passed_over(simulating, name, caplog):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(rate_malformed=1)
        assert await simulated.ends(await simulated.submit(simulated.calls())) == {}
        assert "3 lines" in caplog.text
        assert "SECRET" not in caplog.text


@pytest.mark.parametrize("name", NAMED)
async def test_a_batch_that_fails_in_the_validation(simulating, name):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(batch_refused=1)
        batch_id = await simulated.submit(simulated.calls())
        assert await simulated.ends(batch_id) == {}
        progress = await simulated.batches.progress(batch_id)
        assert (progress.has_ended, progress.refusal) == (True, "token_limit_exceeded")


async def test_a_batch_that_is_refused_at_once(simulating):
    async with simulating("anthropic") as simulated:
        simulated.simulator.set_behaviour(batch_refused=1)
        error = await simulated.fail_to_submit(simulated.calls())
        assert (error.kind, error.status, may_have_arrived(error)) == (ErrorKind.BAD_REQUEST, 400, False)
        assert simulated.simulator.batches == []


@each
async def test_no_room_for_a_batch(simulating, name):
    async with simulating(name) as simulated:
        simulated.simulator.set_behaviour(batches_full=1, retry_after_s=7)
        error = await simulated.fail_to_submit(simulated.calls())
        assert (error.kind, error.status, error.retry_after_ms) == (ErrorKind.RATE_LIMITED, 429, 7000)
        assert not may_have_arrived(error)
        assert simulated.simulator.batches == []


@each
async def test_a_batch_that_nobody_knows(simulating, name):
    async with simulating(name) as simulated:
        for ask in (simulated.batches.progress, simulated.batches.cancel, simulated.ends):
            with pytest.raises(ProviderError) as caught:
                await ask("batch_unknown")
            assert caught.value.status == 404


@each
async def test_nothing_of_a_batch_reaches_a_log(simulating, name, caplog):
    for logger in ("", "openai", "groq", "anthropic"):
        caplog.set_level(logging.DEBUG, logger)
    async with simulating(name) as simulated:
        calls = simulated.calls(1)
        [end] = (await simulated.ends(await simulated.submit(calls))).values()
        reply = simulated.batches.read(calls[end.custom_id], end.body)
    assert "SECRETPROMPT" not in caplog.text
    assert reply.content not in caplog.text


@each
async def test_who_may_not_submit_any_more_makes_no_batch(simulating, name):
    async def refuse() -> None:
        raise PermissionError

    async with simulating(name) as simulated:
        with pytest.raises(PermissionError):
            await simulated.submit(simulated.calls(), may_leave=refuse)
        assert simulated.simulator.batches == []
