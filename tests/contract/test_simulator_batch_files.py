"""What each vendor's batches have of their own: files, validation, pages and rules of OpenAI, Groq and Anthropic."""

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.sdk_batches import MODELS, Came, ChatBatches, MessageBatches, chat_line, checked, jsonl, sdk_batches

from tierstream.simulator import RunningSimulator, batch_store, file_store, running_simulator

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}
HOUR_S = 3600
MONTH_S = 30 * 24 * HOUR_S


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(time_scale=0) as simulator:
        yield simulator


@pytest.fixture
async def held() -> AsyncIterator[RunningSimulator]:
    """Its batches do not end by themselves."""
    async with running_simulator(time_scale=1) as simulator:
        simulator.set_behaviour(batch_s=HOUR_S)
        yield simulator


@pytest.fixture(params=["openai", "groq"])
async def chats(request: pytest.FixtureRequest, sim: RunningSimulator) -> AsyncIterator[ChatBatches]:
    async with sdk_batches(sim, request.param) as made:
        assert isinstance(made, ChatBatches)
        yield made


@pytest.fixture
async def messages(sim: RunningSimulator) -> AsyncIterator[MessageBatches]:
    async with sdk_batches(sim, "anthropic") as made:
        assert isinstance(made, MessageBatches)
        yield made


def line(custom_id: str, **body: Any) -> dict[str, Any]:
    return chat_line(custom_id, **{"model": MODELS["openai"], **HELLO, **body})


async def test_files_come_and_go(chats: ChatBatches) -> None:
    file_id = await chats.upload(b"one\ntwo\n", "lines.jsonl")
    file = checked(await (chats.sdk.files.info if chats.provider == "groq" else chats.sdk.files.retrieve)(file_id))
    assert (file.id, file.filename, file.bytes, file.purpose) == (file_id, "lines.jsonl", 8, "batch")
    assert await chats.read(file_id) == [b"one", b"two"]
    assert [file.id for file in (await chats.sdk.files.list()).data] == [file_id]
    deleted = checked(await chats.sdk.files.delete(file_id))
    assert (deleted.id, deleted.deleted) == (file_id, True)
    for refused in (chats.sdk.files.delete, chats.sdk.files.content):
        with pytest.raises(chats.errors.NotFoundError):
            await refused(file_id)


async def test_files_have_an_end_and_pages(sim: RunningSimulator) -> None:
    async with sdk_batches(sim, "openai") as openai:
        assert isinstance(openai, ChatBatches)
        after = {"anchor": "created_at", "seconds": HOUR_S}
        ids = [await openai.upload(b"x", f"{n}.jsonl", expires_after=after) for n in range(3)]
        ids.append(await openai.upload(b"x"))
        files = [file async for file in openai.sdk.files.list(limit=1)]
        assert [file.id for file in files] == ids[::-1]
        assert [file.expires_at - file.created_at for file in files] == [MONTH_S, HOUR_S, HOUR_S, HOUR_S]
        assert [file.id async for file in openai.sdk.files.list(order="asc", purpose="batch")] == ids
        assert [file.id async for file in openai.sdk.files.list(purpose="batch_output")] == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"purpose": "assistants"}, "purpose"),
        ({"file": "no file"}, "file"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}, "expires_after"),
        ({"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "3600"}, "expires_after"),
    ],
)
async def test_files_that_are_refused(sim: RunningSimulator, options: dict[str, str], named: str) -> None:
    form = {"purpose": "batch", "file": io.BytesIO(b"x"), **options}
    key = {"Authorization": "Bearer any"}
    async with (
        aiohttp.ClientSession(headers=key) as http,
        http.post(f"{sim.base_url('openai')}/files", data=form) as response,
    ):
        assert (response.status, (await response.json())["error"]["param"]) == (400, named)


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ((line("a"), b"{broken\n"), "invalid_json_line", 2),
        ((line("a"), b"[1]\n"), "invalid_json_line", 2),
        ((b"\n", line("a"), line("b"), line("a")), "duplicate_custom_id", 4),
        ((line("a"), line("b", model="gpt-6.1-terra")), "model_mismatch", 2),
        ((line("a", model="gpt-0"),), "model_not_found", 1),
        (({**line("a"), "url": "/v1/embeddings"},), "url_mismatch", 1),
        (({**line("a"), "method": "GET"},), "invalid_method", 1),
        (({**line("a"), "custom_id": ""},), "missing_required_parameter", 1),
        (({**line("a"), "body": None},), "missing_required_parameter", 1),
        ((), "empty_file", None),
        ((b"{}\n" * 50_001,), "too_many_tasks", None),
    ],
)
async def test_a_file_with_a_wrong_line_fails(
    sim: RunningSimulator, lines: tuple[Any, ...], code: str, number: int | None
) -> None:
    async with sdk_batches(sim, "openai") as openai:
        assert isinstance(openai, ChatBatches)
        made = await openai.create(await openai.upload(jsonl(*lines)))
        assert (made.status, made.errors) == ("validating", None)
        (batch,) = await sim.ended_batches(1)
        failed = await openai.look(made.id)
        assert (failed.status, batch["status"], sim.calls) == ("failed", "failed", [])
        (error,) = failed.errors.data
        assert (error.code, error.line) == (code, number)
        assert failed.failed_at is not None
        assert (failed.output_file_id, failed.error_file_id, failed.request_counts.total) == (None, None, 0)


async def test_a_batch_that_is_refused_as_a_whole(sim: RunningSimulator, chats: ChatBatches) -> None:
    sim.set_behaviour(batch_refused=1)
    made = await chats.submit({"a": HELLO})
    (batch,) = await sim.ended_batches(1)
    failed = await chats.look(made.id)
    assert (failed.status, failed.errors.data[0].code) == ("failed", "token_limit_exceeded")
    assert (batch["custom_ids"], sim.calls) == (["a"], [])


async def test_a_batch_tells_what_it_was_made_with(sim: RunningSimulator, chats: ChatBatches) -> None:
    metadata = {"tierstream": "batch-1"}
    file_id = await chats.upload(
        jsonl(chat_line("a", model=MODELS[chats.provider], **HELLO), chat_line("b", model=MODELS[chats.provider])),
        "batch-1.jsonl",
    )
    made = await chats.create(file_id, metadata=metadata)
    (batch,) = await sim.ended_batches(1)
    assert (batch["metadata"], batch["filename"]) == (metadata, "batch-1.jsonl")
    ended = await chats.look(made.id)
    assert (ended.input_file_id, ended.metadata, ended.endpoint) == (file_id, metadata, "/v1/chat/completions")
    assert (ended.request_counts.total, ended.request_counts.completed, ended.request_counts.failed) == (2, 1, 1)
    assert ended.created_at <= ended.in_progress_at <= ended.finalizing_at <= ended.completed_at
    assert [len(await chats.read(file)) for file in (ended.output_file_id, ended.error_file_id)] == [1, 1]
    assert (ended.failed_at, ended.cancelled_at, ended.expired_at) == (None, None, None)


async def test_outputs_end_when_they_are_asked_to(sim: RunningSimulator) -> None:
    async with sdk_batches(sim, "openai") as openai:
        after = {"anchor": "created_at", "seconds": HOUR_S}
        made = await openai.submit({"a": HELLO}, output_expires_after=after)
        await sim.ended_batches(1)
        output = await openai.sdk.files.retrieve((await openai.look(made.id)).output_file_id)
        assert (output.purpose, output.expires_at - output.created_at) == ("batch_output", HOUR_S)


async def test_groq_takes_several_models_and_longer_windows(sim: RunningSimulator) -> None:
    async with sdk_batches(sim, "groq") as groq:
        assert isinstance(groq, ChatBatches)
        lines = [chat_line(model, model=f"openai/{model}", **HELLO) for model in ("gpt-oss-20b", "gpt-oss-120b")]
        made = await groq.create(await groq.upload(jsonl(*lines)), completion_window="7d")
        assert made.expires_at - made.created_at == 7 * 24 * HOUR_S
        await sim.ended_batches(1)
        assert [call["model"] for call in sim.calls] == ["openai/gpt-oss-20b", "openai/gpt-oss-120b"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"completion_window": "7d"}, "completion_window"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"metadata": {"name": "x" * 513}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after"),
    ],
)
async def test_batches_that_are_not_made(sim: RunningSimulator, options: dict[str, Any], named: str) -> None:
    async with sdk_batches(sim, "openai") as openai:
        with pytest.raises(openai.errors.BadRequestError, match=named):
            await openai.submit({"a": HELLO}, **options)
    assert sim.batches == []


async def test_what_is_not_there(chats: ChatBatches) -> None:
    for refused in (chats.create("file-0"), chats.look("batch_0"), chats.cancel("batch_0")):
        with pytest.raises(chats.errors.NotFoundError):
            await refused


async def test_batches_are_listed_newest_first_in_pages(sim: RunningSimulator, chats: ChatBatches) -> None:
    made = [(await chats.submit({"a": HELLO})).id for _ in range(5)]
    await sim.ended_batches(5)
    assert await chats.newest() == made[::-1]
    first = await chats.sdk.batches.list(extra_query={"limit": "2"})
    assert [batch.id for batch in first.data] == made[:2:-1]
    assert first.has_more is True
    rest = await chats.sdk.batches.list(extra_query={"limit": "3", "after": made[3]})
    assert [batch.id for batch in rest.data] == made[2::-1]
    assert rest.has_more is False
    for query in ({"limit": "101"}, {"limit": "none"}, {"after": "batch_0"}):
        with pytest.raises(chats.errors.BadRequestError, match=next(iter(query))):
            await chats.sdk.batches.list(extra_query=query)


async def test_the_sdk_goes_through_all_pages(sim: RunningSimulator) -> None:
    async with sdk_batches(sim, "openai") as openai, sdk_batches(sim, "anthropic") as anthropic:
        for vendor, listed in ((openai, openai.sdk.batches), (anthropic, anthropic.sdk.messages.batches)):
            made = [(await vendor.submit({"a": HELLO})).id for _ in range(5)]
            assert [batch.id async for batch in listed.list(limit=2)] == made[::-1]


async def test_message_batches_are_listed_both_ways(messages: MessageBatches) -> None:
    made = [(await messages.submit({"a": HELLO})).id for _ in range(5)]
    newest = made[::-1]
    listed = messages.sdk.messages.batches
    page = await listed.list(before_id=newest[4], limit=2)
    assert ([batch.id for batch in page.data], page.has_more) == (newest[2:4], True)
    assert (page.first_id, page.last_id) == (newest[2], newest[3])
    page = await listed.list(before_id=newest[1])
    assert ([batch.id for batch in page.data], page.has_more) == (newest[:1], False)
    page = await listed.list(after_id=newest[4])
    assert (page.data, page.has_more, page.first_id) == ([], False, None)
    with pytest.raises(messages.errors.BadRequestError, match="after_id"):
        await listed.list(after_id="msgbatch_0")


@pytest.mark.parametrize(
    ("requests", "named"),
    [
        ([], "requests"),
        ([{"custom_id": "a b", "params": {}}], "requests.0.custom_id"),
        ([{"custom_id": "x" * 65, "params": {}}], "requests.0.custom_id"),
        ([{"custom_id": "a", "params": {}}, {"custom_id": "a", "params": {}}], "requests.1.custom_id"),
        ([{"custom_id": "a", "params": []}], "requests.0.params"),
    ],
)
async def test_message_batches_that_are_not_made(
    sim: RunningSimulator, messages: MessageBatches, requests: Any, named: str
) -> None:
    with pytest.raises(messages.errors.BadRequestError, match=named):
        await messages.create(requests)
    assert sim.batches == []


async def test_a_message_batch_that_is_refused_as_a_whole(sim: RunningSimulator, messages: MessageBatches) -> None:
    sim.set_behaviour(batch_refused=1)
    with pytest.raises(messages.errors.BadRequestError):
        await messages.submit({"a": HELLO})
    assert sim.batches == []


async def test_requests_for_several_models_and_for_none(sim: RunningSimulator, messages: MessageBatches) -> None:
    models = {"sonnet": "claude-sonnet-5-5", "none": "claude-0", "opus": "claude-opus-5-5"}
    made = await messages.submit({name: {"model": model, **HELLO} for name, model in models.items()})
    lost = await messages.submit({"a": {"model": "claude-0", **HELLO}})
    await sim.ended_batches(2)
    results = await messages.results(made.id)
    assert results["none"] == Came(error="not_found_error")
    assert results["opus"].text
    assert results["sonnet"].text
    counts = (await messages.look(made.id)).request_counts
    assert (counts.succeeded, counts.errored, counts.processing) == (2, 1, 0)
    assert await messages.results(lost.id) == {"a": Came(error="not_found_error")}


async def test_message_batches_are_deleted_once_they_have_ended(held: RunningSimulator) -> None:
    async with sdk_batches(held, "anthropic") as messages:
        made = await messages.submit({"a": HELLO})
        with pytest.raises(messages.errors.BadRequestError):
            await messages.sdk.messages.batches.delete(made.id)
        with pytest.raises(messages.errors.NotFoundError):
            await messages.raw_results(made.id)
        held.finish_batches()
        await held.ended_batches(1)
        deleted = checked(await messages.sdk.messages.batches.delete(made.id))
        assert (deleted.id, deleted.type) == (made.id, "message_batch_deleted")
        with pytest.raises(messages.errors.NotFoundError):
            await messages.look(made.id)
    assert [batch["id"] for batch in held.batches] == [made.id]


async def test_of_too_many_batches_the_oldest_are_not_found(
    sim: RunningSimulator, messages: MessageBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_store, "_MOST_ENDED", 2)
    made = [(await messages.submit({"a": HELLO})).id for _ in range(3)]
    assert [batch["id"] for batch in await sim.ended_batches(3)] == made
    assert await messages.newest() == made[:0:-1]


async def test_of_too_many_bytes_the_oldest_files_are_forgotten(
    chats: ChatBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "_MOST_BYTES", 10)
    ids = [await chats.upload(content) for content in (b"x" * 4, b"x" * 5, b"x" * 6, b"x" * 11)]
    assert [file.id for file in (await chats.sdk.files.list()).data] == ids[3:]
