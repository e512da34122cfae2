"""`POST /v1/messages/count_tokens`: how long a body is, by estimate and without a call."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from tierstream.serve.bodies import read_json
from tierstream.serve.call import Call, Handler
from tierstream.serve.surface import Caller, Targets


@runtime_checkable
class CountsTokens(Protocol):
    """A surface that says how long a body is."""

    def count_tokens(
        self, body: Mapping[str, Any], headers: Mapping[str, str], *, caller: Caller, targets: Targets
    ) -> dict[str, int]:
        """Say how many tokens a body has by estimate.

        Raises:
            DoorError: It is not of the API's form.
        """


def count_tokens(surface: CountsTokens) -> Handler:
    """Make what serves the address."""

    async def count(call: Call) -> None:
        body = await read_json(call.receive, call.headers, call.door.settings)
        counted = surface.count_tokens(body, call.headers, caller=call.caller, targets=call.door.targets)
        await call.answer(counted)

    return count
