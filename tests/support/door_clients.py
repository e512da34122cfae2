"""Clients of the door, written as programs are: they come back, to whichever door answers, until they are answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import httpx

_PAUSE_S = 0.2
"""Between two attempts: a door that was killed refuses connections at once."""
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_BEGUN = 4
"""Events by which a stream has shown text: two of the response, the message and its part come first."""


class StreamClient:
    """Asks for one streamed response, and takes the stream up behind the last event that it has.

    Args:
        http: Sends its requests.
        doors: URLs, of which it goes to the next one whenever one fails.
        body: Of its POST.
        key: Its Idempotency-Key.
    """

    def __init__(self, http: httpx.AsyncClient, doors: Sequence[str], body: Mapping[str, Any], key: str) -> None:
        self._http = http
        self._doors = cycle(doors)
        self.body = {**body, "stream": True}
        self.key = key
        self.events: list[dict[str, Any]] = []
        self.posts = 0
        self.resumed: list[int] = []
        """Numbers of the events behind which it took the stream up."""
        self.begun = asyncio.Event()
        """Set when it has been shown some text."""

    @property
    def text(self) -> str:
        """All that it was shown."""
        return "".join(self.pieces)

    @property
    def numbers(self) -> list[int]:
        """Of the events that it was shown."""
        return [event["sequence_number"] for event in self.events]

    @property
    def pieces(self) -> list[str]:
        """What it was shown, piece by piece."""
        return [event["delta"] for event in self.events if event["type"] == "response.output_text.delta"]

    @property
    def end(self) -> dict[str, Any]:
        """The response as the last event has it."""
        response: dict[str, Any] = self.events[-1]["response"]
        return response

    async def run(self) -> None:
        """Go on until the response has ended."""
        while not (self.events and self.events[-1]["type"] in _ENDS):
            try:
                await self._read(next(self._doors))
            except httpx.TransportError:
                await asyncio.sleep(_PAUSE_S)

    async def _read(self, door: str) -> None:
        async with self._asking(door) as response:
            if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                await asyncio.sleep(float(response.headers.get("retry-after", _PAUSE_S)))
                return
            assert response.status_code == httpx.codes.OK, (await response.aread()).decode()
            async for event in events_of(response):
                self.events.append(event)
                if len(self.events) > _BEGUN:
                    self.begun.set()

    def _asking(self, door: str) -> Any:
        url = f"{door}/v1/responses"
        if not self.events:
            self.posts += 1
            return self._http.stream("POST", url, json=self.body, headers={"idempotency-key": self.key})
        last = self.events[-1]["sequence_number"]
        self.resumed.append(last)
        after = {"stream": "true", "starting_after": last}
        return self._http.stream("GET", f"{url}/{self.events[0]['response']['id']}", params=after)


async def events_of(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the server-sent events of a response as they come; comments and marks of the end are passed over."""
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


async def answer_of(http: httpx.AsyncClient, doors: Sequence[str], body: Mapping[str, Any], key: str) -> str:
    """Return the text of a chat completion, whole or streamed; whatever fails is asked for again under the same key."""
    for door in cycle(doors):
        try:
            text = await _completion(http, door, body, key)
        except httpx.TransportError:
            text = None
        if text is not None:
            return text
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("there are no doors")


async def _completion(http: httpx.AsyncClient, door: str, body: Mapping[str, Any], key: str) -> str | None:
    """Return an answer; None where the door says that it is of use to come back."""
    request = http.stream("POST", f"{door}/v1/chat/completions", json=body, headers={"idempotency-key": key})
    async with request as response:
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return None
        if not body.get("stream"):
            await response.aread()
            assert response.status_code == httpx.codes.OK, response.text
            return str(response.json()["choices"][0]["message"]["content"])
        events = [event async for event in events_of(response)]
    assert response.status_code == httpx.codes.OK
    choices = [choice for event in events for choice in event["choices"]]
    is_whole = any(choice["finish_reason"] for choice in choices)
    return "".join(choice["delta"].get("content") or "" for choice in choices) if is_whole else None
