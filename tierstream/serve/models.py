"""`GET /v1/models`: what may be asked for, as OpenAI lists it, and as Anthropic does for clients of theirs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tierstream.serve.call import ANTHROPIC, Call
from tierstream.serve.surface import DoorError

_SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Both APIs want a date of each model; nobody here knows one."""


async def list_models(call: Call) -> None:
    """Serve the list.

    https://platform.openai.com/docs/api-reference/models/list, https://docs.claude.com/en/api/models-list
    """
    names = list(call.door.targets.names())
    if call.surface.name == ANTHROPIC:
        models = [_of_anthropic(name) for name in names]
        await call.answer({"data": models, "has_more": False, "first_id": names[0], "last_id": names[-1]})
    else:
        await call.answer({"object": "list", "data": [_of_openai(name) for name in names]})


async def show_model(call: Call) -> None:
    """Serve one of the list.

    Raises:
        DoorError: 404, the list does not have it.
    """
    name = call.scope["path_params"]["name"]
    if name not in call.door.targets.names():
        raise DoorError(404, "model_not_found", "there is no model of this name here; GET /v1/models lists all")
    await call.answer(_of_anthropic(name) if call.surface.name == ANTHROPIC else _of_openai(name))


def _of_openai(name: str) -> Mapping[str, Any]:
    owner = name.partition("/")[0] if "/" in name else "tierstream"
    return {"id": name, "object": "model", "created": int(_SINCE.timestamp()), "owned_by": owner}


def _of_anthropic(name: str) -> Mapping[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _SINCE.strftime("%Y-%m-%dT%H:%M:%SZ")}
