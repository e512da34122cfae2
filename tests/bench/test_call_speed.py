"""What a call to a provider costs this process, beside what the SDK and plain aiohttp cost: printed, never asserted."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest
from support import canned_provider
from support.provider_calls import call_of

from streams.providers.registry import speaker_of
from streams.providers.vendor_sdk import CALL_ID_HEADER, Connection

ROUNDS, CALLS = 15, 150

Call = Callable[[], Awaitable[object]]


@contextmanager
def provider_of_its_own() -> Iterator[str]:
    """A canned provider in a process of its own; its root URL."""
    program = str(Path(canned_provider.__file__))
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def ways(protocol: str, url: str, stack: AsyncExitStack) -> dict[str, Call]:
    """The same call in four ways."""
    speaker = speaker_of(protocol)(Connection(protocol, "key", url, use_proxy=False))
    stack.push_async_callback(speaker.close)
    sdk = speaker.load_sdk()
    http_client = sdk.http_client_type(trust_env=False)
    client = await stack.enter_async_context(
        sdk.client_type(api_key="key", base_url=url, max_retries=0, http_client=http_client)
    )
    session = await stack.enter_async_context(aiohttp.ClientSession())
    call = call_of("gpt-6-luna")
    body = speaker.request_body(call)
    headers = {CALL_ID_HEADER: str(call.call_id)}
    typed = client.messages if protocol == "anthropic" else client.chat.completions

    async def post() -> object:
        options = {"timeout": call.timeout_s, "headers": headers}
        response = await client.post(speaker.path, cast_to=sdk.http.Response, body=body, options=options)
        return json.loads(response.content)

    async def raw() -> object:
        sent = {**headers, "Authorization": "Bearer key", "Content-Type": "application/json"}
        async with session.post(url + speaker.path, data=json.dumps(body).encode(), headers=sent) as response:
            return json.loads(await response.read())

    return {
        "ours": lambda: speaker.complete(call),
        "typed method": lambda: typed.create(**body),
        "client.post": post,
        "aiohttp": raw,
    }


async def us_a_call(call: Call) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - started) / CALLS * 1e6


@pytest.mark.parametrize("protocol", ["groq", "openai", "anthropic"])
async def test_a_call(protocol):
    """Processor time of this process; the ways take turns, so that a busy machine is busy for all of them."""
    with provider_of_its_own() as url:
        async with AsyncExitStack() as stack:
            calls = await ways(protocol, url, stack)
            for call in calls.values():
                await call()
            gc.collect()
            gc.freeze()
            rounds = [{name: await us_a_call(call) for name, call in calls.items()} for _ in range(ROUNDS)]
            gc.unfreeze()
    for name in calls:
        times = [one[name] for one in rounds]
        above = statistics.median(one[name] - one["aiohttp"] for one in rounds)
        print(
            f"\n{protocol}, {name}: median {statistics.median(times):.0f} us, least {min(times):.0f} us"
            f", above aiohttp {above:.0f} us",
            end="",
        )
