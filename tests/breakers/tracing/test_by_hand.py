"""Tracing a Llama whose weights are written by hand (see `hand_written`), against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hand_written import BOS, END, GO, HARM, HEAD, KIND, NEURON, NEUTRAL, case, everything, hand_written, lead

from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import HarmMeasure, Judge
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, Positions
from breakers.tracing.patching import exact_effects
from breakers.tracing.sources import neutral_means
from breakers.training.batches import Sample


@pytest.fixture(scope="module")
def built():
    return hand_written()


def test_the_arithmetic_of_the_shortest_prompt() -> None:
    # A = D = sqrt(8) / 3, r^2 = 11 / 9, B = 1, r'^2 = 97 / 72.
    assert lead(1, head=True, neuron=True) == pytest.approx(0.75 / math.sqrt(97 / 72))
    assert lead(1, head=True, neuron=False) == pytest.approx(0.25 / math.sqrt(11 / 9))
    assert lead(1, head=False, neuron=False) == pytest.approx(-0.25 / math.sqrt(10 / 9))


@pytest.mark.parametrize("positions", Positions)
def test_tracing_finds_exactly_the_head_and_the_neuron_with_effects_as_by_hand(built, positions) -> None:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig(positions=positions))
    counts = (1, 2, 5)
    found = exact_effects(measure, [case(bos) for bos in counts], everything(sites))
    for row, bos in enumerate(counts):
        unpatched = lead(bos, head=True, neuron=True)
        wanted = {
            HEAD: unpatched - lead(bos, head=False, neuron=True),
            NEURON: unpatched - lead(bos, head=True, neuron=False),
        }
        for site, effect in zip(found.sites, found.by_case[row].tolist(), strict=True):
            assert effect == pytest.approx(wanted.get(site, 0.0), abs=1e-5), f"{site}, {bos} BOS"
    assert [site for site, _ in found.ranked()[:2]] == [HEAD, NEURON]
    assert not measure.fallback


def test_the_head_and_the_neuron_together_do_what_the_head_does(built) -> None:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig())
    values = measure([case(1)], [(), (HEAD,), (HEAD, NEURON)])[:, 0].tolist()
    wanted = [lead(1, head=True, neuron=True), *[lead(1, head=False, neuron=False)] * 2]
    assert values == pytest.approx(wanted, abs=1e-5)


def test_the_mean_of_kind_prompts_does_what_the_contrast_does(built) -> None:
    model, sites = built
    kind = Sample(prompt=(BOS, KIND, GO), reply=(NEUTRAL, END))
    points = sorted({site.hook_point for site in everything(sites)})
    means = neutral_means(model, sites, [kind, kind], points)
    measure = LeadMeasure(model, sites, PatchConfig(source=PatchSource.MEAN), means=means)
    found = exact_effects(measure, [case(1)], [HEAD])
    wanted = lead(1, head=True, neuron=True) - lead(1, head=False, neuron=True)
    assert found.mean.tolist() == pytest.approx([wanted], abs=1e-5)


def test_completions_that_read_alike_have_no_effect_by_completion(built) -> None:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig(source=PatchSource.COMPLETION))
    found = exact_effects(measure, [case(1), case(2)], everything(sites))
    assert not found.by_case.any()


class Blunt:
    """Harmful is whatever says HARM."""

    name = "blunt"
    behaviours = ("rude",)

    def score(self, replies):
        return [{"rude": float(str(HARM) in reply.reply)} for reply in replies]


def test_generated_text_turns_with_the_head_and_not_with_the_neuron_alone(built) -> None:
    model, sites = built
    judge = Judge(scorer=Blunt(), behaviour="rude", decode=str, messages=lambda case: [])
    measure = HarmMeasure(model, sites, PatchConfig(), GenerationConfig(end=END, max_new_tokens=1), judge)
    found = exact_effects(measure, [case(1), case(2)], everything(sites))
    # HARM leads by 2 lead: 0.45 still with the neuron patched and one BOS (0.15 with two), -0.47 with the head.
    assert lead(1, head=True, neuron=False) > 0
    assert lead(2, head=True, neuron=False) > 0
    assert found.by_case.tolist() == [[float(site == HEAD) for site in everything(sites)]] * 2
