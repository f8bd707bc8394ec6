"""Asking again: one request at a time, with the reported strengths fixed, on each variant of the swapped bundle."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import httpx

from benchmarks.errors import ServedModelError
from benchmarks.soak.bundles import VARIANTS
from benchmarks.soak.changes import Changes
from benchmarks.soak.traffic import Answered, Asked, ask


def fixed(answered: Answered) -> Asked:
    """The same request, asking by number for what was applied."""
    strengths = {name: strength for name, strength in answered.applied.items() if strength > 0}
    body = answered.asked.body | {"model": "scalpel-demo@off", "scalpel": {"breakers": strengths}}
    return replace(answered.asked, body=body, fixed=strengths, hangs_up_after=None)


def sample(answered: Sequence[Answered], count: int, seed: int) -> list[Answered]:
    """`count` of the answers, or all of them."""
    return random.Random(seed).sample(list(answered), min(count, len(answered)))


async def differing(
    base: str, changes: Changes, answers: Sequence[Answered], report: Callable[[str], None]
) -> list[Answered]:
    """The answers that no variant of the swapped bundle gives to the same request run alone.

    An answer was planned with one of the variants, and had to keep it to its end.

    Raises:
        ServedModelError: a request that was answered before is not answered now.
    """
    left = list(answers)
    async with httpx.AsyncClient(base_url=base, timeout=60.0, trust_env=False) as http:
        for variant in VARIANTS:
            await changes.serve_variant(http, variant)
            left = [answer for answer in left if await _alone(http, base, answer) != answer.text]
            report(f"{len(left)} of {len(answers)} answers differ from those alone with variant {variant}")
    return left


async def _alone(http: httpx.AsyncClient, base: str, answered: Answered) -> str:
    again = await ask(http, base, fixed(answered))
    if again is None:
        raise ServedModelError("a replay was cut off")
    wanted = {name: strength for name, strength in answered.applied.items() if strength > 0}
    found = {name: strength for name, strength in again.applied.items() if strength > 0}
    if found != wanted:
        raise ServedModelError(f"a replay ran with {found}; wanted {wanted}")
    return again.text
