"""A program that asks a model, makes the calls that it wants, and asks on, as coding agents do."""

import asyncio
from collections.abc import Awaitable, Callable

from support.deployment import Deployment

from tierstream.simulator.tool_calls import report
from topics.requests import Request
from topics.results import Result

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} of a file.",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "line": {"type": "integer"}},
                "required": ["path", "line"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("read_file", "write_file", "run_tests")
]

Step = Callable[[int], Awaitable[None]]


def expected_report(given: list[str]) -> str:
    """What the simulated model says at the end, of all results in their order."""
    return report(given)


async def _nothing(_: int) -> None:
    pass


class Agent:
    """One conversation with tools.

    Attributes:
        results: Of each request so far.
        given: Results of tools so far, in order.
    """

    def __init__(self, deployment: Deployment, steps: int, name: str = "agent", **fields: object) -> None:
        self._deployment = deployment
        self._name = name
        self._fields = fields
        self.messages: list[dict[str, object]] = [{"role": "user", "content": f"Mend the file. agent: {steps} steps"}]
        self.results: list[Result] = []
        self.given: list[str] = []

    async def run(self, before: Step = _nothing, during: Step = _nothing) -> None:
        """Go on until the model wants nothing more.

        Args:
            before: Awaited before each request, with its number.
            during: The same, while the request is under way.
        """
        while not self.results or self.results[-1].tool_calls:
            step = len(self.results)
            await before(step)
            request = self._request(step)
            await self._deployment.send([request])
            meanwhile = asyncio.create_task(during(step))
            self.results.append((await self._deployment.results([request.request_id]))[request.request_id])
            await meanwhile
            self._go_on(self.results[-1])

    def _request(self, step: int) -> Request:
        fields = {"request_id": f"{self._name}-{step}", "messages": self.messages, "tools": TOOLS, **self._fields}
        return Request.model_validate(fields)

    def _go_on(self, result: Result) -> None:
        answered = result.model_dump(mode="json")
        content = answered.get("parts") or answered["content"]
        self.messages.append(
            {"role": "assistant", "content": content, "tool_calls": answered.get("tool_calls") or None}
        )
        for call in result.tool_calls:
            self.given.append(f"{call.function.name} gave {len(self.given)}")
            self.messages.append({"role": "tool", "tool_call_id": call.id, "content": self.given[-1]})
