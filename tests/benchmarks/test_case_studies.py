"""Case studies: chains are verified by hash, figures and tables come from their files alone."""

import json
from xml.etree import ElementTree

import pytest
from bundle_files import interventions, manifest_of
from refined_circuits import refined_document
from traces import made_up_trace

from benchmarks.case_studies import chains, rows
from benchmarks.case_studies.__main__ import FIGURES, figures
from benchmarks.case_studies.chains import CHAINS, keep_chain, read_chain
from benchmarks.case_studies.pictures import CurvePoint, circuit_svg, curve_svg
from benchmarks.circuits.examples import BehaviourExamples, Examples, Exchange
from benchmarks.circuits_tables import BEHAVIOURS
from benchmarks.errors import CircuitsError
from benchmarks.history import root
from benchmarks.results import load_result, results_folder
from breakers.bundles import load_bundle
from breakers.bundles.verify import sha256
from breakers.demo import bundles_path
from breakers.pipeline.chain import verify_chain
from breakers.refinement.manifest import RefinedManifest
from breakers.tracing.artifact import save_trace

NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A recipe's work folder whose trace, circuit and shipped bundle fit together; and a repository to keep it in."""
    folder = tmp_path / "run"
    save_trace(made_up_trace(), folder / "trace")
    document = refined_document("sha256:" + "1" * 64, "sha256:" + "2" * 64)
    document["made_from"]["circuit"] = sha256((folder / "trace" / "circuit.json").read_bytes())
    for member in document["members"]:
        # The made-up trace has two layers.
        member["site"]["layer"] = 1
    (folder / "refine").mkdir()
    (folder / "refine" / "refined.json").write_text(json.dumps(document))
    named = sha256((folder / "refine" / "refined.json").read_bytes())

    class Shipped:
        manifest = manifest_of(interventions(), made_from={"circuit": named})

    monkeypatch.setattr(chains, "load_bundle", lambda _path: Shipped)
    monkeypatch.setattr(chains, "root", lambda: tmp_path / "repository")
    return folder


def test_a_chain_is_kept_as_it_is(run, tmp_path) -> None:
    (run / ".lock").touch()
    (run / ".train.partial").mkdir()
    (run / ".train.partial" / "checkpoint").touch()
    kept = keep_chain(run)
    assert kept == tmp_path / "repository" / CHAINS / "toxicity"
    names = chains.stage_files(run)
    assert {name.parts[0] for name in names} == {"trace", "refine"}
    assert chains.stage_files(kept) == names
    for name in names:
        assert (kept / name).read_bytes() == (run / name).read_bytes()
    assert read_chain(kept, "toxicity").refined.behaviour == "toxicity"


@pytest.mark.parametrize("name", ["trace/circuit.json", "refine/refined.json"])
def test_a_file_of_another_chain_is_refused(run, name) -> None:
    text = (run / name).read_text()
    (run / name).write_text(text + "\n")
    with pytest.raises(CircuitsError, match=r"what was made from it names sha256:"):
        keep_chain(run)


def test_the_circuit_is_outlined_among_all_heads(run) -> None:
    chain = read_chain(run, "toxicity")
    drawn = ElementTree.fromstring(circuit_svg(chain))
    boxes = drawn.findall("svg:rect", NAMESPACE)
    heads = [box for box in boxes if box.get("stroke")]
    assert len(heads) == chain.effects.heads.mean.numel()
    # The made-up circuit has head 2 of layer 1, the last one.
    assert [box.get("stroke") for box in heads] == ["#fff"] * 5 + ["#111"]
    words = [text.text for text in drawn.findall("svg:text", NAMESPACE)]
    assert "neurons (2)" in words
    assert words[-2:] == ["0", "2"]


def test_the_curve_goes_through_its_points() -> None:
    points = [
        CurvePoint(strength=s, harm=h, drop_mean=d, drop_greatest=2 * d)
        for s, h, d in ((1.0, 0.0, 2.0), (0.0, 1.0, 0.0), (0.5, 0.5, 1.0))
    ]
    drawn = ElementTree.fromstring(curve_svg(points))
    places = [(float(c.get("cx")), float(c.get("cy"))) for c in drawn.findall("svg:circle", NAMESPACE)]
    assert len(places) == 9
    harm = places[:3]
    assert [x for x, _ in harm] == sorted(x for x, _ in harm)
    # Half of the harm at half of the strength: the middle of the plot, both ways.
    assert harm[1] == pytest.approx(tuple((a + b) / 2 for a, b in zip(harm[0], harm[2], strict=True)))
    # The greatest drop is twice the mean: of the same axis, twice as far from its start.
    mean, greatest = places[3:6], places[6:]
    assert mean[0][1] - greatest[2][1] == pytest.approx(2 * (mean[0][1] - mean[2][1]))


def test_members_parts_and_curves_become_rows() -> None:
    document = refined_document("sha256:" + "1" * 64, "sha256:" + "2" * 64)
    document["members"][0]["change_without"] = {"value": 0.25, "low": 0.125, "high": 0.5}
    circuit = RefinedManifest.model_validate(document)
    assert rows.member_rows(circuit)[1:3] == [
        ["layer 1, head 2", "+0.5000", "+0.2500 [+0.1250, +0.5000]"],
        ["layer 2, neuron 3", "+0.5000", ""],
    ]
    figures = {
        "part.toxicity.layer1.head2.harm_without": 0.5,
        "part.toxicity.layer1.head2.harm_zeroed": 0.25,
        "part.toxicity.layer1.head2.change_zeroed": 0.125,
        "part.misinformation.layer1.head2.harm_without": 0.0,
    }
    for strength in ("0", "1.25", "0.5"):
        figures |= {f"curve.toxicity.{strength}.{what}": float(strength) for what in ("harm", "fluent", "change")}
        figures |= {f"curve.toxicity.{strength}.drop_mean{end}": 1.0 for end in ("", ".low", ".high")}
        figures[f"curve.toxicity.{strength}.drop_greatest"] = 2.0
    assert rows.part_rows(figures, "toxicity")[1:] == [["layer 1, head 2", "50.0 %", "25.0 %", "0.125"]]
    assert [row[0] for row in rows.curve_rows(figures, "toxicity")[1:]] == ["0", "0.5", "1.25"]


def test_examples_are_cells_of_a_table() -> None:
    said = Exchange(kind="toxicity", prompt="a | b\nc", earlier=2, off="You potato.", on="")
    empty = BehaviourExamples(mitigated=[said], still_harmful=[], still_harmful_sampled=[said], off_topic=[])
    assert rows.example_rows([said])[1] == ["a \\| b c (after 2 earlier turns)", "You potato.", "(empty)"]
    found = rows.failure_rows(Examples(behaviours={"toxicity": empty}, collateral=[]), "toxicity")
    assert [row[0] for row in found[1:]] == [
        "still harmful",
        "still harmful, temperature 1",
        "harmless, not grammatical or not on topic",
        "a skill's right answer became wrong",
    ]
    assert {len(row) for row in found} == {4}


def test_figures_are_those_of_the_committed_files() -> None:
    if not (results_folder() / "circuits.json").exists():
        pytest.skip("no result of benchmarks.circuits is committed yet")
    drawn = figures(load_result(results_folder() / "circuits.json").figures)
    assert len(drawn) == 2 * len(BEHAVIOURS)
    for name, text in drawn.items():
        assert (root() / FIGURES / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_chain_of_each_shipped_bundle_verifies(behaviour: str) -> None:
    folder = bundles_path() / behaviour
    links = verify_chain(load_bundle(folder), folder, root() / CHAINS / behaviour)
    assert {link.made for link in links} >= {"trace", "refine", "train", "gate", "bundle"}
