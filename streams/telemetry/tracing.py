"""Spans of a request's way: what a stage does with a record, each paid call, and the result that leaves.

The context travels in the header `traceparent` of the records. Nothing of a text is in a span, nor the message of an
exception, which may repeat one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.telemetry import conventions as names
from topics.journal import Usage

_CARRIER: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"

Asker = SpanContext
"""The span that a call is made for."""


class StepSpan:
    """What a stage does with one record."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> bytes:
        """The header of the records that follow from this one."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}".encode()

    def note_request(self, request_id: str) -> None:
        """Say whose record it is."""
        self._span.set_attribute(names.REQUEST_ID, request_id)

    def note_outcome(self, outcome: str, error: str | None = None) -> None:
        """Say what came of it.

        Args:
            outcome: In a word.
            error: What went wrong, in a word; None: nothing.
        """
        self._span.set_attribute(names.OUTCOME, outcome)
        if error is not None:
            self._span.set_attribute(names.ERROR_TYPE, error)
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End a span that `Tracing.sending` has begun."""
        self._span.end()


class CallSpan:
    """A paid call."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note_usage(self, usage: Usage) -> None:
        """Say what the call is billed by."""
        self._span.set_attributes(
            {
                names.GEN_AI_INPUT_TOKENS: usage.input,
                names.GEN_AI_OUTPUT_TOKENS: usage.output,
                names.GEN_AI_CACHED_TOKENS: usage.cached,
                names.GEN_AI_CACHE_WRITTEN_TOKENS: usage.cache_written,
            }
        )

    def note_answer(self, *, model: str | None, finish_reason: str, first_token_ms: float | None) -> None:
        """Say how the answer is, but not what it says."""
        self._span.set_attribute(names.GEN_AI_FINISH_REASONS, (finish_reason,))
        if model is not None:
            self._span.set_attribute(names.GEN_AI_RESPONSE_MODEL, model)
        if first_token_ms is not None:
            self._span.set_attribute(names.GEN_AI_FIRST_CHUNK, first_token_ms / 1000)

    def note_error(self, kind: str) -> None:
        """Say why there is no answer, in a word."""
        self._span.set_attribute(names.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR))


class Tracing:
    """Makes the spans of a process.

    Args:
        provider: Takes them. Which are sampled is its sampler's to say: by default, those whose parent is.
        version: Of this program.
    """

    def __init__(self, provider: TracerProvider, version: str = "") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tierstream", version)

    @contextmanager
    def processing(
        self, stage: str, topic: str, partition: int, offset: int, *, group: str, parent: bytes | None
    ) -> Iterator[StepSpan]:
        """Make the span of a record's handling; calls that are made in the block are below it.

        Args:
            stage: That handles it.
            topic: Where the record stands; partition and offset likewise.
            partition: See there.
            offset: See there.
            group: The consumer group.
            parent: The record's `traceparent`; None, or one that can't be read: a trace begins here.
        """
        attributes: dict[str, str | int] = {
            **_messaging(names.PROCESS, topic),
            names.MESSAGING_PARTITION: str(partition),
            names.KAFKA_OFFSET: offset,
            names.MESSAGING_GROUP: group,
            names.STAGE: stage,
        }
        span = self._tracer.start_span(
            f"{names.PROCESS} {topic}", _context_of(parent), SpanKind.CONSUMER, attributes=attributes
        )
        step = StepSpan(span)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield step
            except BaseException as error:
                step.note_outcome("raised", type(error).__name__)
                raise

    def sending(self, stage: str, topic: str, *, parent: bytes | None) -> StepSpan:
        """Begin the span of a record that leaves; it has to be ended.

        Args:
            stage: That sends it.
            topic: Where it goes.
            parent: The `traceparent` of what it follows from.
        """
        span = self._tracer.start_span(
            f"{names.SEND} {topic}",
            _context_of(parent),
            SpanKind.PRODUCER,
            attributes={**_messaging(names.SEND, topic), names.STAGE: stage},
        )
        return StepSpan(span)

    @contextmanager
    def calling(
        self,
        provider: str,
        model: str,
        *,
        call_id: str,
        max_tokens: int,
        streams: bool,
        askers: Sequence[Asker] = (),
    ) -> Iterator[CallSpan]:
        """Make the span of a paid call.

        Args:
            provider: That is called.
            model: That is asked.
            call_id: Of the call in the ledger.
            max_tokens: Most tokens of the answer.
            streams: Whether the text is wanted as it arrives.
            askers: Whom the call is made for, where these are several: the span is below the first of them and has
                links to the others. None at all: for the span of the block that it is called in.
        """
        attributes: dict[str, str | int] = {
            names.GEN_AI_OPERATION: names.CHAT,
            names.GEN_AI_PROVIDER: provider,
            names.GEN_AI_REQUEST_MODEL: model,
            names.GEN_AI_REQUEST_MAX_TOKENS: max_tokens,
            names.CALL_ID: call_id,
            **({names.GEN_AI_REQUEST_STREAM: True} if streams else {}),
        }
        first = trace.set_span_in_context(trace.NonRecordingSpan(askers[0])) if askers else None
        span = self._tracer.start_span(
            f"{names.CHAT} {model}",
            first,
            SpanKind.CLIENT,
            attributes=attributes,
            links=[Link(asker) for asker in askers[1:]],
        )
        call = CallSpan(span)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield call
            except BaseException as error:
                call.note_error(type(error).__name__)
                raise

    def asker(self) -> Asker:
        """Return the span that this is called in, to name it as an asker."""
        return trace.get_current_span().get_span_context()

    def close(self) -> None:
        """Send what is left; blocks for some seconds at the most."""
        self._provider.shutdown()


def otlp_tracing(service: str, instance: str, version: str) -> Tracing:
    """Make a tracing that sends to a collector by OTLP over HTTP, as the variables `OTEL_*` say.

    Args:
        service: The service's name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` give one.
        instance: Tells the processes of the service apart.
        version: Of this program.

    Raises:
        ImportError: The extra `otel` is not installed.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - brings HTTP

    own = Resource({SERVICE_NAME: service, SERVICE_INSTANCE_ID: instance, SERVICE_VERSION: version})
    # `create` adds what the environment says, which wins; where it says nothing, its default name does not.
    told = Resource.create()
    named = not str(told.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    provider = TracerProvider(resource=own.merge(told) if named else told.merge(own), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, version)


def _messaging(operation: str, topic: str) -> dict[str, str]:
    return {
        names.MESSAGING_SYSTEM: names.KAFKA,
        names.MESSAGING_OPERATION: operation,
        names.MESSAGING_OPERATION_TYPE: operation,
        names.MESSAGING_DESTINATION: topic,
    }


def _context_of(traceparent: bytes | None) -> Context:
    """Read the header; what can't be read is none, and the trace begins anew."""
    carrier = {} if traceparent is None else {_TRACEPARENT: traceparent.decode("ascii", errors="replace")}
    return _CARRIER.extract(carrier, Context())
