"""Refinement of a Llama whose weights are written by hand (see `hand_written`): one head and one neuron do it all."""

from __future__ import annotations

import math

import pytest
from hand_written import HEAD, NEURON, case, everything, hand_written, lead
from transformers import LlamaForCausalLM

from breakers.architectures import ModelSites
from breakers.bundles.manifest import BaseManifest
from breakers.refinement.evidence import EvidenceConfig
from breakers.refinement.manifest import RefinedManifest
from breakers.refinement.refine import Origin, RefineMaterial, RefineSettings, refine
from breakers.refinement.search import Outcome
from breakers.refinement.threshold import TauKind, Threshold
from breakers.sites import Component, Site
from breakers.tracing.circuit_file import MeasureKind, MeasureManifest, PatchManifest
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, Positions
from breakers.tracing.patching import exact_effects
from breakers.training.batches import Sample

HASH = "sha256:" + "0" * 64
CASES = [case(1), case(2)]
WHOLE, HALF, NOTHING = [
    sum(lead(bos, head=head, neuron=neuron) for bos in (1, 2)) / 2
    for head, neuron in ((True, True), (True, False), (False, False))
]
"""Means with everything at work, without the neuron, and without the head: the neuron reads what the head wrote."""


@pytest.fixture(scope="module")
def built() -> tuple[LlamaForCausalLM, ModelSites]:
    return hand_written()


def refined(built: tuple[LlamaForCausalLM, ModelSites], share: float, candidates: list[Site]) -> RefinedManifest:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig())
    settings = RefineSettings(
        threshold=Threshold(kind=TauKind.SHARE_OF_EFFECT, value=share),
        evidence=EvidenceConfig(draws=3, subsets=8, resamples=50),
    )
    material = RefineMaterial(
        model=model,
        sites=sites,
        measure=measure,
        ranking=exact_effects(measure, CASES, candidates).ranked(),
        cases=CASES,
        benign=[Sample(prompt=(1, 4, 5), reply=(7, 2)), Sample(prompt=(1, 1, 4, 5), reply=(7, 2))],
    )
    origin = Origin(
        behaviour="rude",
        base=BaseManifest(id="by-hand", fingerprint=HASH),
        made_from={},
        measure=MeasureManifest(kind=MeasureKind.LEAD),
        patch=PatchManifest(source=PatchSource.CONTRAST, positions=Positions.GENERATION),
        command="a test",
    )
    return refine(settings, material, origin).manifest


def test_the_head_is_the_circuit(built) -> None:
    found = refined(built, 0.9, everything(built[1]))
    assert (found.search.outcome, found.sites()) == (Outcome.MINIMAL, (HEAD,))
    assert found.search.tau == pytest.approx(WHOLE - 0.9 * (WHOLE - NOTHING), abs=1e-5)
    evidence = found.evidence
    assert evidence.faithfulness.value == pytest.approx(1.0, abs=1e-4)
    # The neuron reads the head: alone, the head still writes what it writes, and the neuron stays away.
    assert evidence.alone.value == pytest.approx((HALF - NOTHING) / (WHOLE - NOTHING), abs=1e-4)
    # K = {}: the head alone against the whole model; K = {head}: nothing is left in either.
    assert evidence.completeness.largest.value == pytest.approx((WHOLE - HALF) / (WHOLE - NOTHING), abs=1e-4)
    (member,) = found.members
    assert member.change_without.value == pytest.approx(WHOLE - NOTHING, abs=1e-5)
    assert (found.size.heads, found.size.all_heads, found.size.neurons, found.size.all_neurons) == (1, 4, 0, 4)


def test_the_neuron_is_a_circuit_for_less(built) -> None:
    neurons = [site for site in everything(built[1]) if site.component is Component.NEURON]
    share = (WHOLE - HALF) / (WHOLE - NOTHING)
    found = refined(built, share - 0.01, neurons)
    assert (found.search.outcome, found.sites()) == (Outcome.MINIMAL, (NEURON,))
    assert found.evidence.faithfulness.value == pytest.approx(share, abs=1e-4)
    # No more than that is in neurons: the evidence that it is not local to them.
    beyond = refined(built, share + 0.01, neurons)
    assert beyond.search.outcome is Outcome.UNREACHED
    assert beyond.search.value == pytest.approx(HALF, abs=1e-5)


def test_ablating_the_head_leaves_kind_replies_as_they_are(built) -> None:
    found = refined(built, 0.9, everything(built[1]))
    zero = next(ablation for ablation in found.ablations if ablation.kind == "zero")
    # Zero is what the kind contrast gives, and on a kind prompt the head writes zero anyway.
    assert zero.lead.value == pytest.approx(NOTHING, abs=1e-5)
    assert zero.benign.kl.value == pytest.approx(0.0, abs=1e-6)
    assert math.isclose(zero.benign.logprob_change.value, 0.0, abs_tol=1e-6)
