"""Connections to a broker that are being closed, on an event loop that does not let one write to them.

On uvloop a write to a closed transport raises RuntimeError, where asyncio's own loop takes it in silence, and a
connection learns of its end a moment after its transport. aiokafka expects OSError
(https://github.com/aio-libs/aiokafka/issues/1038): the error ended the task that keeps a client's metadata up to date,
its consumer waited for that task for ever, and no stage was in its group any more. aiokafka has no hook for it: all
its clients in this process are changed by importing this module.
"""

from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError


class _Connection(conn.AIOKafkaConnection):  # type: ignore[misc] # aiokafka is untyped
    def send(self, *request: Any, **options: Any) -> Any:  # noqa: ANN401 - aiokafka's own
        self._refuse_if_closing()
        return super().send(*request, **options)

    def _send_sasl_token(self, *token: Any, **options: Any) -> Any:  # noqa: ANN401
        self._refuse_if_closing()
        return super()._send_sasl_token(*token, **options)

    def _refuse_if_closing(self) -> None:
        if self._writer is not None and self._writer.is_closing():
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} is being closed")


conn.AIOKafkaConnection = _Connection
