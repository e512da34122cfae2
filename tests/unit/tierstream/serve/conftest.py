"""A door over HTTP for each test that asks for it."""

import httpx
import pytest
from support.door_world import DoorWorld, door_settings


@pytest.fixture
async def world():
    return DoorWorld(door_settings())


@pytest.fixture
async def client(world):
    async with world.serving() as url, httpx.AsyncClient(base_url=url, timeout=20) as http:
        yield http
