"""Two readers that are never equally far: who is given a result can wait for the chunks before it."""

import asyncio
from uuid import UUID

from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from tierstream.serve.answer_board import AnswerBoard
from topics.events import Chunk
from topics.registry import CHUNKS


def chunk(request_id, seq):
    attempt = {"attempt_id": UUID(int=1), "call_id": UUID(int=2)}
    return Chunk(request_id=request_id, seq=seq, kind="text", text="a", at=utc_now(), **attempt)


async def test_whoever_catches_up_has_all_chunks_that_were_published_before(deployment):
    board, ready = AnswerBoard(deployment.kafka, max_waiting=10), asyncio.Event()
    following = asyncio.create_task(board.run(ready))
    await ready.wait()
    names = [f"r{number}" for number in range(5)]
    try:
        with board.place("r1", chunks=True) as waiter, board.place("r2") as other:
            async with Publisher(deployment.kafka) as publisher:
                for seq in range(20):
                    await publisher.publish([Output(CHUNKS, chunk(name, seq)) for name in names])
                    await asyncio.gather(board.catch_up(), board.catch_up())
                    assert [(news.request_id, news.seq) for news in waiter.rest()] == [("r1", seq)]
            assert not list(other.rest())
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
