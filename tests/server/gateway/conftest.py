"""An upstream whose replies are scripted, and a gateway in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from serving.gateways import LiveGateway, canaried, gateway
from serving.scripted_upstream import ScriptedUpstream, running


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with running(ScriptedUpstream(bundles=canaried())) as found:
        yield found


@pytest.fixture
def live(upstream: ScriptedUpstream) -> Iterator[LiveGateway]:
    with gateway(upstream.url, upstream.bundles) as found:
        yield found


@pytest.fixture
def http(live: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=20) as client:
        yield client
