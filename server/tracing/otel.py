"""Traces with OpenTelemetry. W3C `traceparent` headers are honoured, whatever the process' environment says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.tracing.base import Span, Tracing, Value


class OtelSpan:
    """One of OpenTelemetry's."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: Value) -> None:
        """Note an attribute."""
        self._span.set_attribute(name, value)

    def end(self, error: BaseException | None = None) -> None:
        """End it. Of an error only the type is kept: messages may quote what the client sent."""
        if error is not None:
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OtelTracing:
    """Spans of one provider, which is not made the process' own."""

    def __init__(self, processor: SpanProcessor, *, service_name: str = "scalpel", ratio: float = 1.0) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: service_name}), sampler=ParentBased(TraceIdRatioBased(ratio))
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("scalpel")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of an HTTP request; a `traceparent` that is none starts a trace of our own."""
        parent = self._propagator.extract(headers)
        with self._tracer.start_as_current_span(
            name, context=parent, kind=SpanKind.SERVER, record_exception=False, end_on_exit=False
        ) as span:
            made = OtelSpan(span)
            try:
                yield made
            except BaseException as error:
                made.end(error)
                raise
            made.end()

    def start(self, name: str) -> Span:
        """A span below the current one."""
        return OtelSpan(self._tracer.start_span(name))

    def shutdown(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def otlp(*, endpoint: str | None, service_name: str, ratio: float) -> Tracing:
    """Spans sent in batches, off the request's way, to a collector."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=endpoint)
    return OtelTracing(BatchSpanProcessor(exporter), service_name=service_name, ratio=ratio)
