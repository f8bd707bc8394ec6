"""Gateways on a real socket, in a thread, in front of an upstream that runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from breakers.bundles import Bundle
from server.api.edge.connections import ConnectionLimits
from server.gateway.app import create_gateway
from server.gateway.proof import Proven, WantedUpstream, prove
from server.gateway.state import GatewayParts, GatewayState, assemble_gateway
from server.gateway.upstream import Upstream, UpstreamAddress
from server.policy.policy import Policy
from server.policy.settings import PolicySettings
from server.running import uvicorn_settings
from serving.bundles import made_up_bundle, mask, three_bundles
from serving.live import wait_until
from serving.scripted_upstream import ScriptedUpstream
from serving.stubs import StubClassifier


@dataclass(frozen=True)
class LiveGateway:
    """A running gateway."""

    url: str
    state: GatewayState
    loop: asyncio.AbstractEventLoop


def canaried(bundles: Sequence[Bundle] | None = None) -> list[Bundle]:
    """Bundles whose canaries say more than one number: a change is known up to a constant."""
    canary = {"token_ids": [5, 6], "logit_ids": [1, 2, 3], "change": [0.5, -0.25, 0.125]}
    return [
        Bundle(
            manifest=type(bundle.manifest).model_validate(bundle.manifest.model_dump() | {"canary": canary}),
            interventions=bundle.interventions,
            source=bundle.source,
        )
        for bundle in (three_bundles() if bundles is None else bundles)
    ]


def other_bundles() -> list[Bundle]:
    """Another bank."""
    return canaried([made_up_bundle("another", mask(), gate=None)])


def address_of(url: str, **settings: Any) -> UpstreamAddress:
    """How a gateway reaches it."""
    return UpstreamAddress(url=url, **settings)


def proved(address: UpstreamAddress, wanted: WantedUpstream) -> Proven:
    """The proof at the start."""

    async def asked() -> Proven:
        async with Upstream(address) as upstream:
            return await prove(upstream, wanted)

    return asyncio.run(asked())


@contextmanager
def gateway(
    url: str, bundles: Sequence[Bundle], *, address: dict[str, Any] | None = None, **parts: Any
) -> Iterator[LiveGateway]:
    """Serve until the block ends; ready when it is entered."""
    there, wanted = address_of(url, **(address or {})), WantedUpstream(bundles=bundles)
    given = {"classifier": StubClassifier(), "address": there, "wanted": wanted} | parts
    state = assemble_gateway(GatewayParts(**given, proven=proved(there, wanted)))
    server = uvicorn.Server(uvicorn_settings(create_gateway(state), ConnectionLimits(), host="127.0.0.1", port=0))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),))
    thread.start()
    try:
        wait_until(lambda: (server.started and state.watch.up) or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield LiveGateway(url=f"http://127.0.0.1:{port}", state=state, loop=loop)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
        loop.close()


@contextmanager
def policed(upstream: ScriptedUpstream, rates: dict[str, int] | None = None, **parts: Any) -> Iterator[httpx.Client]:
    """A client of a gateway with a policy that limits rates."""
    policy = Policy(settings=PolicySettings.model_validate({"version": 1, "rates": rates or {}}))
    with (
        gateway(upstream.url, upstream.bundles, policy=policy, **parts) as live,
        httpx.Client(base_url=live.url, timeout=20) as client,
    ):
        yield client
