"""What operators see of the upstream: its own metrics beside the gateway's, and how it fares."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge

from server.gateway.upstream import Upstream, reason_of

logger = logging.getLogger(__name__)

_OURS = re.compile(rb"(?:# (?:HELP|TYPE|UNIT) )?scalpel_")
"""Lines that an upstream may not add to: names would stand for two things."""
_LINE = re.compile(rb"#.*|\s*|[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?\s+\S+(?:\s+\S+)?\s*")
_LARGEST = 32 * 1024 * 1024
"""Bytes of an upstream's metrics."""


class UpstreamMetrics:
    """Counters in the application's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge("scalpel_upstream_up", "Whether the upstream is there and proved.", registry=registry)
        self._failures = Counter(
            "scalpel_upstream_failures", "Requests that the upstream broke off, or could not take.", registry=registry
        )
        self._scrapes = Counter(
            "scalpel_upstream_scrape_failures",
            "Times that the upstream's metrics could not be had.",
            registry=registry,
        )
        self._starts = Gauge(
            "scalpel_upstream_starts", "Times that a supervised upstream was started.", registry=registry
        )

    def watch(self, up: Callable[[], bool], starts: Callable[[], int]) -> None:
        """Read the state at each scrape."""
        self._up.set_function(lambda: float(up()))
        self._starts.set_function(starts)

    def failed(self) -> None:
        """A request was not finished, because of the upstream."""
        self._failures.inc()

    async def scrape(self, upstream: Upstream) -> bytes:
        """The upstream's own metrics, in Prometheus' text format; none where they cannot be had, which is counted."""
        try:
            response = await upstream.questions.get("/metrics", headers={"Accept": "text/plain; version=0.0.4"})
            response.raise_for_status()
            return _foreign(response.content)
        except (httpx.HTTPError, ValueError) as error:
            self._scrapes.inc()
            reason = reason_of(error) if isinstance(error, httpx.HTTPError) else str(error)
            logger.warning("the metrics of %s cannot be had: %s", upstream.address.shown, reason)
            return b""


def _foreign(text: bytes) -> bytes:
    """Metrics that are not named as ours are.

    Raises:
        ValueError: it is not Prometheus' text format, and would spoil ours too.
    """
    if len(text) > _LARGEST:
        raise ValueError(f"they have {len(text)} bytes; wanted at most {_LARGEST}")
    kept = []
    for line in text.splitlines():
        if _LINE.fullmatch(line) is None:
            raise ValueError(f"they hold {line[:80]!r}; wanted Prometheus' text format")
        if _OURS.match(line) is None and line.strip() != b"# EOF":
            kept.append(line)
    return b"\n".join([*kept, b""]) if kept else b""
