"""When a vendor's SDK is imported, and asked for its request: in a thread, once, and before a call's time begins."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from support.provider_calls import call_of

from streams.providers.base import ErrorKind, ProviderError
from streams.providers.groq import GroqProvider
from streams.providers.vendor_sdk import Connection, Sdk


class SlowToLoad(GroqProvider):
    """Its import goes on until it is allowed to end, which only the event loop does."""

    def __init__(self) -> None:
        super().__init__(Connection("p", "key", "http://127.0.0.1:9", use_proxy=False))
        self.allowed = threading.Event()
        self.begun = asyncio.Event()
        self.imports = 0
        self._loop = asyncio.get_running_loop()

    def load_sdk(self) -> Sdk:
        self.imports += 1
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.allowed.wait(60)
        return super().load_sdk()


@pytest.fixture
async def provider():
    made = SlowToLoad()
    yield made
    made.allowed.set()
    await made.close()


async def test_others_go_on_while_an_sdk_is_imported(provider):
    preparing = asyncio.create_task(provider.prepare())
    await provider.begun.wait()
    provider.allowed.set()
    await preparing


async def test_it_is_imported_once_for_calls_that_come_together(provider):
    preparing = [asyncio.create_task(provider.prepare()) for _ in range(3)]
    await provider.begun.wait()
    provider.allowed.set()
    await asyncio.gather(*preparing)
    await provider.prepare()
    assert provider.imports == 1


async def test_a_call_that_nobody_prepared_leaves_with_all_its_time(provider):
    async def leave() -> None:
        assert provider.allowed.is_set()
        left.set()

    left = asyncio.Event()
    calling = asyncio.create_task(provider.complete(call_of("m", may_leave=leave, timeout_s=30)))
    await provider.begun.wait()
    assert not left.is_set()
    provider.allowed.set()
    with pytest.raises(ProviderError) as caught:
        await calling
    assert caught.value.kind is ErrorKind.CONNECTION
    assert left.is_set()


async def test_who_gives_up_waiting_leaves_the_import_to_others(provider):
    impatient = asyncio.create_task(provider.prepare())
    await provider.begun.wait()
    impatient.cancel()
    await asyncio.wait([impatient])
    provider.allowed.set()
    await provider.prepare()


async def test_the_sdk_is_asked_once_for_the_request_of_all_calls(provider):
    made: list[str] = []
    sdk = GroqProvider.load_sdk(provider)

    class Counted(sdk.client_type):
        async def post(self, path, **options):
            made.append(path)
            return await super().post(path, **options)

    provider.allowed.set()
    provider.load_sdk = lambda: replace(sdk, client_type=Counted)
    for _ in range(3):
        with pytest.raises(ProviderError):
            await provider.complete(call_of("m"))
    assert made == [GroqProvider.path]


async def test_certificates_are_read_once_and_not_in_the_event_loop(provider):
    threads: list[threading.Thread] = []
    sdk = GroqProvider.load_sdk(provider)

    class Noted(sdk.http_client_type):
        def __init__(self, **options):
            if "transport" not in options:
                threads.append(threading.current_thread())
            super().__init__(**options)

    provider.allowed.set()
    provider.load_sdk = lambda: replace(sdk, http_client_type=Noted)
    await asyncio.gather(*(provider.prepare() for _ in range(3)))
    [thread] = threads
    assert thread is not threading.current_thread()


async def test_a_call_after_the_end_opens_connections_anew(provider):
    provider.allowed.set()
    await provider.prepare()
    await provider.close()
    with pytest.raises(ProviderError) as caught:
        await provider.complete(call_of("m"))
    assert caught.value.kind is ErrorKind.CONNECTION


_TOGETHER = """
import asyncio
from streams.providers.anthropic import AnthropicProvider
from streams.providers.groq import GroqProvider
from streams.providers.openai import OpenAIProvider
from streams.providers.vendor_sdk import Connection

async def main():
    connection = Connection("p", "key", "http://127.0.0.1:9", use_proxy=False)
    providers = [kind(connection) for kind in (OpenAIProvider, GroqProvider, AnthropicProvider)]
    await asyncio.gather(*(provider.prepare() for provider in providers))
    await asyncio.gather(*(provider.close() for provider in providers))

asyncio.run(main())
"""


def test_sdks_that_are_needed_at_the_same_time_do_not_meet_half_imported():
    """In a process of its own: here they have all been imported."""
    done = subprocess.run([sys.executable, "-c", _TOGETHER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
