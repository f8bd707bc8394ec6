"""Traces: what a request spent its time on. OpenTelemetry is behind the extra `otel`."""

from __future__ import annotations

from server.errors import ConfigError
from server.tracing.base import NO_TRACING, Span, Tracing

__all__ = ["NO_TRACING", "Span", "Tracing", "otlp_tracing"]


def otlp_tracing(*, endpoint: str | None, service_name: str, ratio: float) -> Tracing:
    """Traces sent to an OpenTelemetry collector over HTTP.

    Args:
        endpoint: its URL for traces; None for OpenTelemetry's own variables and default.
        service_name: what the traces say they are of.
        ratio: share of requests that are traced, where the caller's own trace does not say.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        from server.tracing.otel import otlp
    except ImportError as error:
        raise ConfigError(f"tracing needs the extra `otel` (pip install 'scalpel[otel]'): {error}") from error
    return otlp(endpoint=endpoint, service_name=service_name, ratio=ratio)
