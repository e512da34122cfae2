"""An OpenTelemetry collector in memory: takes spans over OTLP/HTTP, as worker processes send them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it came."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    is_error: bool
    links: tuple[str, ...]
    """The ids of the spans that it has links to."""
    service: str


@dataclass
class OtlpCollector:
    """What came so far."""

    url: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        return [span for span in self.spans if span.trace_id == trace_id]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append(body)
        message = ExportTraceServiceRequest.FromString(body)
        for of_resource in message.resource_spans:
            service = _values(of_resource.resource.attributes)["service.name"]
            for scope in of_resource.scope_spans:
                self.spans.extend(_span(span, service) for span in scope.spans)
        self.arrived.set()
        return web.Response(body=b"", content_type="application/x-protobuf")


def _span(span: Any, service: str) -> CollectedSpan:
    kinds = {2: "server", 3: "client", 4: "producer", 5: "consumer"}
    return CollectedSpan(
        name=span.name,
        kind=kinds.get(span.kind, "internal"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_values(span.attributes),
        is_error=span.status.code == 2,
        links=tuple(link.span_id.hex() for link in span.links),
        service=service,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@asynccontextmanager
async def running_collector() -> AsyncIterator[OtlpCollector]:
    """Listen on a free port of the loopback interface for as long as the block lasts."""
    collector = OtlpCollector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()
