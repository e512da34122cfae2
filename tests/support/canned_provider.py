"""A provider that is as quick as a server can be: a program that answers any POST with the same bytes.

Started as a process of its own, it writes its port on 127.0.0.1 to its output; its time is then not the caller's.
"""

import asyncio
import json
import sys

TEXT = "Your parcel is on its way and will be with you on Thursday. " * 4
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 120,
        "completion_tokens": 60,
        "total_tokens": 180,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 120, "output_tokens": 60, "cache_read_input_tokens": 0},
}
LIMITS = {
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "1999000",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "1.5s",
}
MESSAGE_LIMITS = {
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-requests-reset": "2026-11-26T12:00:00Z",
    "anthropic-ratelimit-tokens-remaining": "99999",
    "anthropic-ratelimit-tokens-reset": "2026-11-26T12:00:00Z",
}
END = b"\r\n\r\n"


def response(body: dict, limits: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json", "request-id": "r-1", **limits, "content-length": len(content)}
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + END + content


class Answering(asyncio.Protocol):
    completion = response(COMPLETION, LIMITS)
    message = response(MESSAGE, MESSAGE_LIMITS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(END)
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length):
            self.received = b""
            self.transport.write(self.message if b"/messages " in head else self.completion)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
