"""Traces of a request, as OpenTelemetry's in-memory exporter gets them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from serving.live import Live, live, stub_state, wait_until
from serving.stubs import StubEngine

from server.engines.base import RequestFailedError
from server.errors import ConfigError
from server.tracing import NO_TRACING, otlp_tracing
from server.tracing.base import spanned
from server.tracing.otel import OtelTracing

BODY = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "a secret"}]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(exporter: InMemorySpanExporter) -> Iterator[Live]:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    with live(stub_state(engine=engine, tracing=OtelTracing(SimpleSpanProcessor(exporter)))) as server:
        yield server


def spans(exporter: InMemorySpanExporter, count: int) -> dict[str, ReadableSpan]:
    wait_until(lambda: len(exporter.get_finished_spans()) >= count)
    found = {span.name: span for span in exporter.get_finished_spans()}
    assert len(found) == count
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_and_its_parts_are_one_trace(traced: Live, exporter: InMemorySpanExporter, stream: bool) -> None:
    response = httpx.post(f"{traced.url}/v1/chat/completions", json=BODY | {"stream": stream}, headers=TRACEPARENT)
    found = spans(exporter, 4)
    root = found["POST"]
    assert root.parent is not None
    assert (f"{root.context.trace_id:032x}", f"{root.parent.span_id:016x}") == (TRACE, PARENT)
    for name in ("classify", "plan", "generate"):
        part = found[name]
        assert part.parent is not None
        assert (part.context.trace_id, part.parent.span_id) == (root.context.trace_id, root.context.span_id)
        assert root.start_time <= part.start_time <= part.end_time <= root.end_time
    assert root.attributes is not None
    assert root.attributes["http.route"] == "/v1/chat/completions"
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["scalpel.request_id"] == response.headers["x-request-id"]
    assert (found["generate"].attributes or {})["scalpel.completion_tokens"] == 9
    assert len(str((found["plan"].attributes or {})["scalpel.plan"])) == 12
    assert not any("secret" in span.to_json() for span in found.values())


@pytest.mark.parametrize("header", ["", "00-zz-1-01", "x" * 500, f"00-{'0' * 32}-{PARENT}-01"])
def test_a_traceparent_that_is_none_starts_a_trace(traced: Live, exporter: InMemorySpanExporter, header: str) -> None:
    httpx.get(f"{traced.url}/health", headers={"traceparent": header})
    (root,) = spans(exporter, 1).values()
    assert root.parent is None


def test_what_the_caller_does_not_sample_is_not_traced(traced: Live, exporter: InMemorySpanExporter) -> None:
    httpx.get(f"{traced.url}/health", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    httpx.get(f"{traced.url}/health")
    (root,) = spans(exporter, 1).values()
    assert root.parent is None


def test_a_failure_is_named_by_its_type_alone(traced: Live, exporter: InMemorySpanExporter) -> None:
    engine = traced.state.engine
    assert isinstance(engine, StubEngine)
    engine.failure = RequestFailedError("it said: a secret")
    httpx.post(f"{traced.url}/v1/chat/completions", json=BODY)
    failed = spans(exporter, 4)["generate"]
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "RequestFailedError"
    assert "secret" not in failed.to_json()


def test_a_ratio_of_0_traces_nothing(exporter: InMemorySpanExporter) -> None:
    tracing = OtelTracing(SimpleSpanProcessor(exporter), ratio=0.0)
    with tracing.request("GET", {}), spanned(tracing, "part"):
        pass
    with tracing.request("GET", TRACEPARENT), spanned(tracing, "part"):
        pass
    tracing.shutdown()
    assert {span.name for span in exporter.get_finished_spans()} == {"GET", "part"}
    assert len(exporter.get_finished_spans()) == 2


def test_errors_pass_through_spans(exporter: InMemorySpanExporter) -> None:
    for tracing in (NO_TRACING, OtelTracing(SimpleSpanProcessor(exporter))):
        with pytest.raises(ZeroDivisionError), tracing.request("GET", {}), spanned(tracing, "part"):
            raise ZeroDivisionError
    assert {span.status.status_code for span in exporter.get_finished_spans()} == {StatusCode.ERROR}


def test_without_the_extra_the_configuration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "server.tracing.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"needs the extra `otel` \(pip install 'scalpel\[otel\]'\)"):
        otlp_tracing(endpoint=None, service_name="x", ratio=1.0)
