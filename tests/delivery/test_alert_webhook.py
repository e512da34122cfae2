"""Alerts at a webhook: each at least once, signed, also from one that refuses at first."""

import asyncio
import hashlib
import hmac
import json
from decimal import Decimal
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from support.in_memory import BASE, Clock

from agents.alerts import ID_HEADER, SIGNATURE_HEADER, STAGE, TIME_HEADER, AlertPoster, MissingSecretError
from streams.config.settings import load
from streams.kafka.admin import admin_client
from streams.kafka.publisher import Output, Publisher
from topics.alerts import Alert
from topics.registry import ALERTS

SECRET = "a secret"


class Hook:
    """A server that takes what it is posted, after it has given other answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.posts = []

    async def take(self, request):
        self.posts.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


@pytest.fixture
def hook():
    return Hook()


@pytest.fixture
async def url(hook):
    app = web.Application()
    app.router.add_post("/hook", hook.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


def alert(**fields):
    return Alert(
        **{"id": uuid4(), "kind": "finding", "title": "t", "text": "x", "at": BASE, "usd": Decimal(1)} | fields
    )


def poster(url, sleeps=None, **alerts):
    async def sleep(seconds):
        sleeps.append(seconds)

    settings = load(overrides={"alerts": {"webhook_url": url, **alerts}})
    more = {} if sleeps is None else {"sleep": sleep}
    return AlertPoster(settings, Clock(), {"HOOK": SECRET}, **more)


async def test_a_post_is_signed_with_its_time(hook, url):
    told = alert()
    async with aiohttp.ClientSession() as session:
        await poster(url, secret_env="HOOK").post(session, told)
    [(headers, body)] = hook.posts
    assert json.loads(body) == told.model_dump(mode="json")
    at = headers[TIME_HEADER]
    wanted = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert (headers[SIGNATURE_HEADER], headers[ID_HEADER]) == (f"sha256={wanted}", str(told.id))
    assert int(at) == int(BASE.timestamp())


async def test_without_a_secret_it_is_not_signed_and_one_that_is_missing_is_told(hook, url):
    async with aiohttp.ClientSession() as session:
        await poster(url).post(session, alert())
    assert SIGNATURE_HEADER not in hook.posts[0][0]
    with pytest.raises(MissingSecretError, match="no OTHER"):
        poster(url, secret_env="OTHER")


async def test_what_is_not_taken_is_posted_again_with_growing_pauses(hook, url, caplog):
    hook.answers = [500, 302, 404, 429, 503]
    sleeps = []
    async with aiohttp.ClientSession() as session:
        await poster(url, sleeps, longest_pause_s=5, secret_env="HOOK").post(session, alert())
    assert (len(hook.posts), sleeps) == (6, [1, 2, 4, 5, 5])
    assert "status 503" in caplog.text
    assert SECRET not in caplog.text
    assert url not in caplog.text


async def test_what_nobody_takes_is_left_out_in_the_end(caplog):
    sleeps = []
    async with aiohttp.ClientSession() as session:
        await poster("http://127.0.0.1:1/secret-path", sleeps, give_up_s=1e-9).post(session, alert())
    assert sleeps == []
    assert "is left out: ClientConnectorError" in caplog.text
    assert "secret-path" not in caplog.text


async def test_a_hook_that_hangs_is_not_waited_for(hook, url):
    async def hang(request):
        await asyncio.sleep(60)

    app = web.Application()
    app.router.add_post("/", hang)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        timeout = aiohttp.ClientTimeout(total=0.05)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            port = runner.addresses[0][1]
            await poster(f"http://127.0.0.1:{port}/", [], give_up_s=1e-9).post(session, alert())
    finally:
        await runner.cleanup()


async def committed(settings):
    """How many alerts the group has let go."""
    async with admin_client(settings.kafka) as admin:
        offsets = await admin.list_consumer_group_offsets(settings.group(STAGE))
    return sum(max(one.offset, 0) for one in offsets.values())


async def test_alerts_of_the_topic_are_posted_and_not_again_after_a_restart(deployment, hook, url):
    settings = deployment.settings.model_copy(
        update={"alerts": deployment.settings.alerts.model_copy(update={"webhook_url": url})}
    )
    first, second = [alert() for _ in range(3)], [alert() for _ in range(2)]
    async with Publisher(deployment.kafka) as publisher:
        for told in (first, second):
            await publisher.publish([Output(ALERTS, one) for one in told])
            stop, ready = asyncio.Event(), asyncio.Event()
            running = asyncio.create_task(AlertPoster(settings, Clock()).run(stop, ready.set))
            await ready.wait()
            while await committed(settings) < (3 if told is first else 5):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
            stop.set()
            await running
    assert {headers[ID_HEADER] for headers, _ in hook.posts} == {str(one.id) for one in (*first, *second)}
    assert len(hook.posts) == 5
