"""What operators do meanwhile: bundles that change their contents, come and go, and policies that change."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.errors import ServedModelError
from benchmarks.soak.bundles import EXTRA, SWAPPED, VARIANTS, SoakBundles

CEILED = "gender_bias"
CEILING = 0.5
POLICIES = (f"version: 1\nbundles:\n  {CEILED}: {{ceiling: {CEILING}}}\n", "version: 1\n")
PAUSE_SECONDS = (0.5, 3.0)


@dataclass(slots=True)
class Changes:
    """Makes one change after the other."""

    base: str
    """Of the API."""
    process_id: int
    bundles: SoakBundles
    policy: Path
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    """Change -> how often it was made."""

    async def run(self) -> None:
        """Go on until cancelled.

        Raises:
            ServedModelError: the server refused a change.
        """
        draw = random.Random(self.seed)
        steps = (self._reload, self._come_or_go, self._policy)
        async with httpx.AsyncClient(base_url=self.base, timeout=60.0, trust_env=False) as http:
            while True:
                step = draw.choice(steps)
                await step(http, draw)
                await asyncio.sleep(draw.uniform(*PAUSE_SECONDS))

    async def settle(self) -> None:
        """Leave everything as it was at the start: the full bundle, no extra one, no ceiling."""
        async with httpx.AsyncClient(base_url=self.base, timeout=60.0, trust_env=False) as http:
            await self.serve_variant(http, VARIANTS[0])
            if EXTRA in await _loaded(http):
                await _done(await http.delete(f"/breakers/{EXTRA}"))
            self._write_policy(POLICIES[1])
            await asyncio.sleep(1.0)

    async def serve_variant(self, http: httpx.AsyncClient, variant: str) -> None:
        """Swap the contents of the bundle, and have the server take them."""
        self.bundles.swap(variant)
        await _done(await http.post(f"/breakers/{SWAPPED}/reload"))

    async def _reload(self, http: httpx.AsyncClient, draw: random.Random) -> None:
        await self.serve_variant(http, draw.choice(VARIANTS))
        self._count("reloaded")

    async def _come_or_go(self, http: httpx.AsyncClient, draw: random.Random) -> None:
        if EXTRA in await _loaded(http):
            await _done(await http.delete(f"/breakers/{EXTRA}"))
            self._count("removed")
        else:
            await _done(await http.post("/breakers", json={"source": str(self.bundles.extra)}))
            self._count("added")

    async def _policy(self, http: httpx.AsyncClient, draw: random.Random) -> None:
        self._write_policy(draw.choice(POLICIES))
        self._count("policies")

    def _write_policy(self, text: str) -> None:
        beside = self.policy.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.policy)
        os.kill(self.process_id, signal.SIGHUP)

    def _count(self, change: str) -> None:
        self.counts[change] = self.counts.get(change, 0) + 1


async def _loaded(http: httpx.AsyncClient) -> set[str]:
    return {card["name"] for card in (await http.get("/breakers")).json()["data"]}


async def _done(response: httpx.Response) -> None:
    if response.status_code >= 300:
        raise ServedModelError(f"{response.request.url.path}: {response.status_code} {response.text[:300]}")
