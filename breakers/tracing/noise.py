"""The noise floor: how large effects come out for components that have nothing to do with the behaviour."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from breakers.errors import TracingError
from breakers.sites import Site
from breakers.tracing.effects import ComponentEffects
from breakers.tracing.measure import PatchedMeasure
from breakers.tracing.patches import PatchSource, TraceCase
from breakers.tracing.patching import exact_effects
from breakers.training.batches import Pair, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """Effects of randomly drawn components on shuffled pairs."""

    effects: ComponentEffects
    level: float
    """An effect whose absolute mean is above this is not noise; a quantile of the absolute means."""
    quantile: float


def noise_floor(
    measure: PatchedMeasure,
    cases: Sequence[TraceCase],
    sites: Sequence[Site],
    *,
    source: PatchSource,
    components: int = 32,
    quantile: float = 0.95,
    seed: int = 0,
) -> NoiseFloor:
    """Patch random components with activations of another case's run.

    Args:
        measure: as for the effects that are compared with the floor.
        cases: as there.
        sites: the components to draw from; of few, all are taken.
        source: of the measure.
        components: how many to draw.
        quantile: of the absolute mean effects; the level.
        seed: of the draw and of the shuffling.

    Raises:
        TracingError: see `shuffled_cases`; no sites.
    """
    if not 0 < quantile <= 1:
        raise TracingError(f"the quantile of a noise floor is {quantile}; wanted more than 0 and at most 1")
    drawn = random.Random(seed).sample(list(sites), min(components, len(sites)))
    effects = exact_effects(measure, shuffled_cases(cases, source, seed), drawn)
    level = float(effects.mean.abs().double().quantile(quantile))
    return NoiseFloor(effects=effects, level=level, quantile=quantile)


def shuffled_cases(cases: Sequence[TraceCase], source: PatchSource, seed: int = 0) -> list[TraceCase]:
    """The same runs, each with another case as the source of its activations.

    Partners have prompts of similar length. Contrast: the partner's contrast prompt, aligned at its end: its
    beginning is cut off, or filled up with the case's own. Completion: the partner's neutral completion.

    Raises:
        TracingError: fewer than two cases, a case without the source's run, or source `mean`, which has no pairs.
    """
    if source is PatchSource.MEAN:
        raise TracingError("source `mean` takes no activation from a pair: there is nothing to shuffle")
    if len(cases) < 2:
        raise TracingError(f"{len(cases)} case cannot be shuffled; wanted at least two")
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda number: len(cases[number].prompt))
    partners = dict(zip(order, order[1:] + order[:1], strict=True))
    return [_with_source(case, cases[partners[number]], source, number) for number, case in enumerate(cases)]


def _with_source(case: TraceCase, partner: TraceCase, source: PatchSource, number: int) -> TraceCase:
    prompt = case.prompt
    if source is PatchSource.CONTRAST:
        if partner.contrast is None:
            raise TracingError(f"the partner of case {number} has no contrast prompt; wanted one in every case")
        own = prompt[: max(0, len(prompt) - len(partner.contrast))]
        contrast = (own + partner.contrast)[-len(prompt) :]
        return TraceCase(pair=case.pair, contrast=contrast)
    reply = partner.pair.neutral.reply
    if reply == case.pair.harmful.reply:
        # The partner's neutral completion is this case's harmful one: its own stays.
        reply = case.pair.neutral.reply
    return TraceCase(pair=Pair(harmful=case.pair.harmful, neutral=Sample(prompt=prompt, reply=reply)))
