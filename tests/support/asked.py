"""Requests by their texts."""

from typing import Any

from topics.requests import Request


def asked(question: str, *, system: str = "", **fields: Any) -> Request:
    """A request with a message of the user, and one of the system before it where there is one."""
    system_first = [{"role": "system", "content": system}] if system else []
    return Request.model_validate(
        {"request_id": "r", "messages": [*system_first, {"role": "user", "content": question}], **fields}
    )
