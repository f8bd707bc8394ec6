"""A small made-up trace, for tests of its files and figures."""

from __future__ import annotations

import torch

from breakers.bundles.manifest import BaseManifest, SiteManifest
from breakers.sites import Component
from breakers.tracing.artifact import UNWRITTEN, TraceArtifact
from breakers.tracing.attribution import AttributionPath
from breakers.tracing.circuit_file import (
    AttributionManifest,
    CircuitFile,
    ComponentManifest,
    CostManifest,
    MeasureKind,
    MeasureManifest,
    NoiseFloorManifest,
    PairsManifest,
    PatchManifest,
    TraceMethod,
)
from breakers.tracing.effects_file import EffectGrid, EffectsTable
from breakers.tracing.patches import PatchSource, Positions

HASH = "sha256:" + "ab" * 32


def made_up_effects(neurons: bool = True) -> EffectsTable:
    """Two layers of three heads and four neurons; the last neuron of the last layer was not traced."""
    heads = EffectGrid(
        component=Component.HEAD,
        mean=torch.tensor([[0.5, -0.25, 0.0], [0.125, 1.0, -0.5]]),
        standard_error=torch.tensor([[0.1, 0.05, 0.0], [0.01, 0.2, 0.1]]),
        measured=torch.ones(2, 3, dtype=torch.bool),
        exact=torch.tensor([[True, False, False], [False, True, False]]),
    )
    measured = torch.tensor([[True, True, True, True], [True, True, True, False]])
    grid = EffectGrid(
        component=Component.NEURON,
        mean=torch.tensor([[0.01, 0.02, -0.03, 0.75], [0.0, 0.25, -0.125, 0.0]]),
        standard_error=torch.tensor([[0.001, 0.002, 0.003, 0.25], [0.0, 0.1, 0.1, 0.0]]),
        measured=measured,
        exact=torch.zeros(2, 4, dtype=torch.bool),
    )
    return EffectsTable(heads=heads, neurons=grid if neurons else None)


def made_up_trace(behaviour: str = "toxicity", command: str = "scalpel trace", neurons: bool = True) -> TraceArtifact:
    """A trace by screening, with everything in it but a refined circuit."""
    effects = made_up_effects(neurons)
    best = [(effects.heads, *divmod(4, 3)), (effects.heads, 0, 0), (effects.heads, 1, 0)]
    if effects.neurons is not None:
        best.insert(1, (effects.neurons, 0, 3))
    components = [
        ComponentManifest(
            site=SiteManifest.of(grid.site(layer, index)),
            effect=float(grid.mean[layer, index]),
            standard_error=float(grid.standard_error[layer, index]),
            exact=bool(grid.exact[layer, index]),
        )
        for grid, layer, index in best
    ]
    circuit = CircuitFile(
        format=1,
        base=BaseManifest(id="tiny", fingerprint=HASH),
        behaviour=behaviour,
        pairs=PairsManifest(sha256=HASH, cases=12, split="train"),
        patch=PatchManifest(source=PatchSource.CONTRAST, positions=Positions.GENERATION),
        measure=MeasureManifest(kind=MeasureKind.LEAD),
        baseline=1.5,
        method=TraceMethod.SCREEN,
        attribution=AttributionManifest(
            steps=1, heads=AttributionPath.POINT, neurons=AttributionPath.START, rank_correlation=0.875
        ),
        components=components,
        noise_floor=NoiseFloorManifest(head=0.25, neuron=0.125 if neurons else None, quantile=0.95, components=32),
        cost=CostManifest(forward_passes=100.0, attribution=36.0, exact=64.0),
        seeds=[0],
        command=command,
        effects_sha256=UNWRITTEN,
    )
    return TraceArtifact(circuit=circuit, effects=effects)
