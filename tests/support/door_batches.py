"""Batches as a client makes them at the door: a file of lines, a batch of it, and what comes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from support.deployment import Deployment

from tierstream.serve.server import serve
from tierstream.serve.surfaces import SURFACES
from tierstream.stack.ports import free_port

REFUSED = (7, 200)
"""Lines whose bodies are not taken: they cost nothing, and do not hold up the others."""


def lines(count: int) -> bytes:
    """Write lines that ask for chat completions."""
    written = [
        {
            "custom_id": f"c{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "auto",
                "messages": [{"role": "user", "content": f"What is number {number}?"}],
                "n": 2 if number in REFUSED else 1,
            },
        }
        for number in range(count)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in written)


@asynccontextmanager
async def door(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """Serve HTTP in this process; yields a client of it."""
    port, ready = free_port(), asyncio.Event()
    serving = asyncio.create_task(serve(deployment.settings, SURFACES, port, ready.set))
    await ready.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1", timeout=60) as client:
        yield client
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def made(http: httpx.AsyncClient, count: int) -> str:
    """Upload the lines, make a batch of them, and return its id."""
    form = {"files": {"file": ("in.jsonl", lines(count))}, "data": {"purpose": "batch"}}
    file = (await http.post("/files", **form)).raise_for_status().json()
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return (await http.post("/batches", json=asked)).raise_for_status().json()["id"]


async def ended(http: httpx.AsyncClient, deployment: Deployment, batch_id: str) -> dict:
    """Ask until the batch has ended, as clients do."""
    while True:
        batch = (await http.get(f"/batches/{batch_id}")).raise_for_status().json()
        if batch["status"] not in {"in_progress", "cancelling"}:
            return batch
        deployment.check()
        await asyncio.sleep(0.1)


async def content(http: httpx.AsyncClient, file_id: str) -> list[dict]:
    """Download a file of lines."""
    return [
        json.loads(line) for line in (await http.get(f"/files/{file_id}/content")).raise_for_status().text.splitlines()
    ]
