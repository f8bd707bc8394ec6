"""`python -m benchmarks.step_profile`: where the time of a decode step goes, with interventions and without.

The embedded engine in this process with 16 requests that decode together, the models and bundles of
`benchmarks.serving`. Parts of the engine are timed by wrapping their functions, in turn with and without plans; the
rest of a step is what no wrapped function took.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from benchmarks.serving.models import SPECS, ModelSpec, Prepared, prepare

NAME = "step_profile"
COMMAND = "python -m benchmarks.step_profile"
REQUESTS = 16
TOKENS = 48
ROUNDS = 7
ARMS = ("off", "plans")


@dataclass(slots=True)
class Clock:
    """Seconds by part; a part's own time, without that of parts inside it."""

    seconds: dict[str, float] = field(default_factory=dict)
    _inner: list[float] = field(default_factory=list)

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, timed as `part`."""

        def run(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                return work(*arguments, **named)
            finally:
                taken = time.perf_counter() - began
                self.seconds[part] = self.seconds.get(part, 0.0) + taken - self._inner.pop()
                if self._inner:
                    self._inner[-1] += taken

        return run


def main() -> int:
    """Measure and write the result."""
    figures: dict[str, float] = {}
    try:
        for name, spec in SPECS.items():
            with tempfile.TemporaryDirectory() as folder:
                figures |= measure(prepare(name, spec, Path(folder)), spec)
        write_result(NAME, figures=figures, command=COMMAND, packages=("torch", "transformers"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        print(f"{figure:40} {value:10.4f}")
    return 0


def measure(prepared: Prepared, spec: ModelSpec) -> dict[str, float]:
    """Milliseconds of a step by part, medians over rounds, for each arm."""
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    asyncio.run(_rounds(prepared, spec, found))
    figures = {
        f"{prepared.name}.{arm}.{part}_ms": statistics.median(one.get(part, 0.0) for one in rounds)
        for arm, rounds in found.items()
        for part in sorted({part for one in rounds for part in one})
    }
    pairs = zip(found["plans"], found["off"], strict=True)
    return figures | {
        f"{prepared.name}.steps": float(ROUNDS * TOKENS),
        f"{prepared.name}.interventions_share": statistics.median(
            one.get("interventions", 0.0) / one["step"] for one in found["plans"]
        ),
        f"{prepared.name}.plans_over_off": statistics.median(a["step"] / b["step"] for a, b in pairs),
    }


async def _rounds(prepared: Prepared, spec: ModelSpec, found: dict[str, list[dict[str, float]]]) -> None:
    from breakers.bundles import load_bundle
    from server.engines.embedded import EmbeddedEngineConfig, load_embedded_engine

    bundles = [load_bundle(path) for path in prepared.bundles]
    engine = load_embedded_engine(
        EmbeddedEngineConfig(
            model=prepared.directory,
            bundles=tuple(bundle.bank_entry() for bundle in bundles),
            slots=REQUESTS,
            prefix_cache_tokens=0,
            threads=spec.threads,
        )
    )
    await engine.start()
    try:
        for number in range(ROUNDS + 1):
            for arm in ARMS:
                clock = Clock()
                with _wrapped(clock):
                    steps = engine.stats().steps
                    await _decode(engine, prepared, arm)
                    steps = engine.stats().steps - steps
                if number:
                    parts = {part: 1000 * seconds / steps for part, seconds in clock.seconds.items()}
                    found[arm].append(parts | {"step": sum(parts.values())})
    finally:
        await engine.stop()


async def _decode(engine: Any, prepared: Prepared, arm: str) -> None:
    from breakers.plan import AppliedStrength, Plan, Reason
    from server.engines.base import GenerationRequest, SamplingParams

    async def one(number: int) -> None:
        job = prepared.jobs[number % len(prepared.jobs)]
        strengths = job.strengths if arm == "plans" else {}
        entries = {name: AppliedStrength(strength=s, reason=Reason.REQUEST) for name, s in strengths.items()}
        request = GenerationRequest(
            request_id=str(number),
            prompt_token_ids=tuple(engine.tokenizer.encode_chat(list(job.messages))),
            sampling=SamplingParams(max_tokens=TOKENS, temperature=0, ignore_eos=True),
            plan=Plan(entries),
        )
        async with aclosing(engine.generate(request)) as chunks:
            async for _ in chunks:
                pass

    await asyncio.gather(*(one(number) for number in range(REQUESTS)))


@contextmanager
def _wrapped(clock: Clock) -> Iterator[None]:
    from transformers import AttentionInterface

    from breakers.bank import HookBank, StrengthTable
    from server.engines.embedded import attention, loop, stepper
    from server.engines.embedded.executor import Executor

    parts = [
        (loop.StepLoop, "_step", "rest of the step"),
        (Executor, "forward", "rest of the forward"),
        (HookBank, "apply", "interventions"),
        (HookBank, "expand", "interventions"),
        (StrengthTable, "gather", "interventions"),
        (stepper, "_choose", "sampling"),
        (loop, "deliver", "delivery"),
    ]
    with ExitStack() as stack:
        for owner, name, part in parts:
            stack.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        # Every layer looks its attention up by name.
        AttentionInterface.register(
            attention.ATTENTION_NAME, clock.timed("attention and the cache", attention.slot_attention)
        )
        try:
            yield
        finally:
            attention.register_attention()


if __name__ == "__main__":
    sys.exit(main())
