"""A whole refinement of tiny random models, and its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from traced import make_cases

from breakers.architectures import resolve_sites
from breakers.bundles.manifest import BaseManifest
from breakers.errors import TracingError
from breakers.refinement.artifact import LOG_NAME, REFINED_NAME, Refinement, load_refinement, save_refinement
from breakers.refinement.evidence import EvidenceConfig
from breakers.refinement.joint import joint_patch
from breakers.refinement.refine import Origin, RefineMaterial, RefineSettings, refine
from breakers.refinement.search import Outcome
from breakers.refinement.threshold import TauKind, Threshold
from breakers.sites import Component
from breakers.tracing.circuit_file import MeasureKind, MeasureManifest, PatchManifest
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, Positions
from breakers.tracing.stage import all_components
from breakers.training.batches import Sample

KINDS = (Component.HEAD, Component.NEURON)
HASH = "sha256:" + "0" * 64
ORIGIN = Origin(
    behaviour="toxicity",
    base=BaseManifest(id="tiny", fingerprint=HASH),
    made_from={"circuit": HASH, "pairs": HASH},
    measure=MeasureManifest(kind=MeasureKind.LEAD),
    patch=PatchManifest(source=PatchSource.CONTRAST, positions=Positions.GENERATION),
    command="a test",
)
SETTINGS = RefineSettings(
    threshold=Threshold(kind=TauKind.SHARE_OF_EFFECT, value=0.6),
    evidence=EvidenceConfig(draws=2, subsets=2, resamples=50),
)
BENIGN = tuple(Sample(prompt=(5, 6 + n, 7), reply=(8, 9 + n, 2)) for n in range(4))


def material_of(model_type: str, **changes) -> RefineMaterial:
    """Cases that patching everything makes less harmful, and candidates ranked by their effects on them."""
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    measure = LeadMeasure(model, sites, PatchConfig())
    universe = all_components(sites, KINDS)
    drawn = make_cases(30, seed=3)
    gain = measure(drawn, [()])[0] - measure(drawn, [joint_patch(universe)])[0]
    cases = [drawn[at] for at in gain.argsort(descending=True)[:8].tolist()]
    candidates = universe[: 2 * sites.heads] + universe[-8:]
    values = measure(cases, [(), *((site,) for site in candidates)]).mean(1)
    effects = (values[0] - values[1:]).tolist()
    order = sorted(range(len(candidates)), key=lambda at: -effects[at])
    made = RefineMaterial(
        model=model,
        sites=sites,
        measure=measure,
        ranking=[(candidates[at], effects[at]) for at in order],
        cases=cases[:5],
        held_out=cases[5:],
        benign=BENIGN,
        spent=lambda: measure.cost.total,
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def material() -> RefineMaterial:
    return material_of("llama")


@pytest.fixture(scope="module")
def found(material: RefineMaterial) -> Refinement:
    universe = [(site, 0.0) for site in all_components(material.sites, KINDS) if site not in dict(material.ranking)]
    return refine(SETTINGS, replace(material, ranking=[*material.ranking, *universe]), ORIGIN)


def test_the_circuit_reaches_tau_and_no_member_can_go(material: RefineMaterial, found: Refinement) -> None:
    manifest = found.manifest
    assert manifest.search.outcome is Outcome.MINIMAL
    members = manifest.sites()

    def measured(sites) -> float:
        return float(material.measure(material.cases, [joint_patch(sites)]).mean())

    tau = manifest.search.clean - 0.6 * (manifest.search.clean - measured(all_components(material.sites, KINDS)))
    assert manifest.search.tau == pytest.approx(tau, abs=1e-4)
    assert measured(members) < tau
    assert all(measured([other for other in members if other != member]) >= tau - 1e-4 for member in members)
    assert all(member.verdict == "needed" for member in manifest.members)


def test_figures_are_of_the_held_out_cases(material: RefineMaterial, found: Refinement) -> None:
    evidence, members = found.manifest.evidence, found.manifest.sites()
    assert (evidence.cases, evidence.held_out) == (3, True)

    def held(sites) -> torch.Tensor:
        return material.measure(material.held_out, [joint_patch(sites)]).mean()

    clean, patched, everything = held([]), held(members), held(all_components(material.sites, KINDS))
    assert evidence.faithfulness.value == pytest.approx(float((clean - patched) / (clean - everything)), abs=1e-4)
    assert evidence.clean.low <= float(clean) <= evidence.clean.high
    first = found.manifest.members[0]
    assert first.change_without.value == pytest.approx(float(held(members[1:]) - patched), abs=1e-4)
    assert [(control.name, control.draws) for control in evidence.controls] == [
        ("random", 2),
        ("random_same_layers", 2),
        ("activation_norm", 1),
    ]
    kinds = [(ablation.kind, ablation.reference, ablation.benign.samples) for ablation in found.manifest.ablations]
    assert kinds == [("zero", "none", 2), ("mean", "benign", 2), ("resample", "benign", 2)]


def test_size_search_and_log_agree(material: RefineMaterial, found: Refinement) -> None:
    size, search, sites = found.manifest.size, found.manifest.search, material.sites
    assert size.all_heads == sites.layers * sites.heads
    assert size.all_neurons == sites.layers * sites.d_mlp
    assert size.heads + size.neurons == len(found.manifest.members)
    assert size.head_share == size.heads / size.all_heads
    assert (search.sets, search.patched_runs, search.cases) == (len(found.log), 5 * len(found.log), 5)
    assert search.forward_passes == found.log[-1].forward_passes > 0
    assert search.candidate_heads + search.candidate_neurons == size.all_heads + size.all_neurons
    best = [step for step in found.log if step.value == search.value]
    assert (best[0].heads, best[0].neurons) == (size.heads, size.neurons)


def test_heads_alone_and_what_they_cannot_do(material: RefineMaterial) -> None:
    heads = [(site, effect) for site, effect in material.ranking if site.head is not None]
    impossible = replace(SETTINGS, threshold=Threshold(kind=TauKind.ABSOLUTE, value=-1e3))
    without = replace(material, ranking=heads, held_out=(), benign=())
    found = refine(impossible, without, ORIGIN).manifest
    assert found.search.outcome is Outcome.UNREACHED
    assert 0 < found.size.heads <= len(heads)
    assert found.size.neurons == 0
    # What was lowest is shown with its evidence, on the search's own cases; nothing is said of single members.
    assert (found.evidence.cases, found.evidence.held_out) == (5, False)
    assert found.evidence.patched.value == pytest.approx(found.search.value)
    assert all(member.change_without is None and member.verdict is None for member in found.members)
    assert [ablation.reference for ablation in found.ablations] == ["none", "neutral", "neutral"]
    assert found.ablations[0].benign is None


def test_a_behaviour_that_is_absent_has_no_circuit(material: RefineMaterial, tmp_path: Path) -> None:
    easy = replace(SETTINGS, threshold=Threshold(kind=TauKind.ABSOLUTE, value=1e3))
    found = save_refinement(refine(easy, material, ORIGIN), tmp_path)
    assert found.manifest.search.outcome is Outcome.ABSENT
    assert (found.manifest.members, found.manifest.evidence, found.manifest.ablations) == ([], None, [])


@pytest.mark.parametrize("model_type", ["mixtral", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_other_architectures(model_type: str, tmp_path: Path) -> None:
    made = save_refinement(refine(SETTINGS, material_of(model_type, held_out=()), ORIGIN), tmp_path)
    assert made.manifest.members
    assert (made.manifest.size.all_neurons > 0) == (model_type == "gpt2")


def test_too_small_a_limit_is_refused() -> None:
    with pytest.raises(TracingError, match="max_sets is 5; wanted at least 128"):
        replace(SETTINGS, max_sets=5)


def test_files_are_read_as_written_and_written_alike(found: Refinement, tmp_path: Path) -> None:
    saved = save_refinement(found, tmp_path / "a")
    assert saved.log == found.log
    assert saved.manifest == found.manifest
    save_refinement(found, tmp_path / "b")
    for name in (REFINED_NAME, LOG_NAME):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [REFINED_NAME, LOG_NAME]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format: found 2; wanted 1"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"seed": "0"}, "seed: Input should be a valid integer"),
    ],
)
def test_other_files_are_refused(found: Refinement, tmp_path: Path, change, words) -> None:
    save_refinement(found, tmp_path)
    document = json.loads((tmp_path / REFINED_NAME).read_text())
    (tmp_path / REFINED_NAME).write_text(json.dumps(document | change))
    with pytest.raises(TracingError, match=words):
        load_refinement(tmp_path)


def test_files_that_do_not_belong_together_are_refused(found: Refinement, tmp_path: Path) -> None:
    with pytest.raises(TracingError, match=r"refined.json: not there"):
        load_refinement(tmp_path)
    save_refinement(found, tmp_path)
    document = json.loads((tmp_path / REFINED_NAME).read_text())
    document["members"].append(document["members"][0])
    (tmp_path / REFINED_NAME).write_text(json.dumps(document))
    with pytest.raises(TracingError, match="one of them twice"):
        load_refinement(tmp_path)
    save_refinement(found, tmp_path)
    with (tmp_path / LOG_NAME).open("a") as log:
        log.write("{}\n")
    with pytest.raises(TracingError, match="wanted files of one refinement"):
        load_refinement(tmp_path)


def test_a_place_that_cannot_be_written_leaves_nothing(found: Refinement, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TracingError, match="cannot be written"):
        save_refinement(found, tmp_path / "file" / "out")
