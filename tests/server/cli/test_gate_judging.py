"""`scalpel gate report`, `rescore` and `choose` on real files: what they print, write and refuse."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_tables import BASE, drawn_table, made_up_table, variant_tables
from pair_records import pair
from serving.bundles import breaker, made_up_bundle
from tiny_members import write_lexical
from typer.testing import CliRunner

from breakers.bundles import GateManifest, save_bundle
from breakers.demo.corpus import KINDS
from breakers.errors import StageError
from breakers.pairs.files import write_pairs
from breakers.pairs.record import Split
from breakers.pipeline.hashing import digest_of_file
from breakers.pipeline.record import StageRecord, write_record
from classifiers import build_classifier
from classifiers.choices.file import load_choice
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable, load_gate_table, save_gate_table
from classifiers.gates.rescoring import harm_potentials
from server.cli import build_cli
from server.cli.gate_prompts import PromptSource, table_prompts
from server.cli.gate_stage import TabulateConfig, demo_prompts, gate_for

FEWER = ("--folds", "2", "--resamples", "50", "--change-coef", "1.0", "--cost-tolerance", "0")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build_cli(), ["gate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def tabulated() -> GateTable:
    """The demo's own prompts, one of each kind, with the harm potentials of the shipped classifier."""
    prompts = demo_prompts(TabulateConfig(bundle=Path(), prompts_per_kind=1, seed=3), "toxicity")
    classifier = build_classifier("lexical")
    potential = harm_potentials(classifier, "toxicity", [prompt.messages for prompt in prompts])
    benign = [prompt.benign for prompt in prompts]
    harm = np.where(np.array(benign)[:, None], 0.0, np.linspace(1, 0, 17)[None, :])
    return made_up_table(
        potential.tolist(),
        harm,
        np.zeros_like(harm),
        benign,
        classifier=classifier.name,
        command="scalpel gate tabulate --scorer demo --prompts-per-kind 1 --seed 3",
    )


def test_a_report_says_what_was_judged_and_how(tmp_path: Path) -> None:
    table = drawn_table()
    path = tmp_path / "table.safetensors"
    save_gate_table(table, path)
    found = json.loads(run("report", str(path), *FEWER))
    assert found["table_sha256"] == digest_of_file(path)
    assert (found["prompts"], found["benign_prompts"], found["gate"]["from"]) == (60, 40, "fit")
    assert found["config"]["fit"]["change_coef"] == 1.0
    assert len(found["fold_gates"]) == found["config"]["folds"] == 2
    assert found["curve"][0]["harm_potential"] == 0.0
    assert sum(step["benign"] for step in found["curve"]) == pytest.approx(1.0)
    for part in ("on_all", "cross_fitted"):
        assert found[part]["cost"]["low"] <= found[part]["cost"]["estimate"] <= found[part]["cost"]["high"]
    shown = run("report", str(path), *FEWER, "--table")
    assert "regret per prompt" in shown
    assert f"{found['cross_fitted']['harm']['estimate']:.4f} [" in shown


def test_a_report_draws_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra figures is not installed")
    save_gate_table(drawn_table(), tmp_path / "table.safetensors")
    run("report", str(tmp_path / "table.safetensors"), *FEWER, "--curve", str(tmp_path / "gate.svg"))
    assert b"<svg" in (tmp_path / "gate.svg").read_bytes()


def test_a_report_judges_the_gate_of_a_bundle(tmp_path: Path) -> None:
    gate = GateManifest(alpha_base=0.75, w=0.0, b=2.75, p_off=0.5, classifier="lexical:abc")
    bundle = made_up_bundle("toxicity", breaker(), gate=gate)
    saved = save_bundle(bundle.manifest, bundle.interventions, tmp_path / "toxicity").manifest
    table = dataclasses.replace(
        drawn_table(),
        weights_sha256=saved.weights_sha256,
        base_fingerprint=saved.base.fingerprint,
    )
    save_gate_table(table, tmp_path / "table.safetensors")
    named = ("--bundle", str(tmp_path / "toxicity"))
    found = json.loads(run("report", str(tmp_path / "table.safetensors"), *FEWER, *named))
    assert found["gate"] == {"alpha_base": 0.75, "w": 0.0, "b": 2.75, "p_off": 0.5, "from": "bundle"}
    off = float((table.harm_potential[table.benign] < 0.5).mean())
    assert found["on_all"]["benign_off_share"]["estimate"] == pytest.approx(off)
    for changed, wanted in (
        ({"weights_sha256": "sha256:1"}, "made with weights"),
        ({"classifier": "embedding:1"}, "wanted one fitted on embedding:1"),
    ):
        with pytest.raises(GateTableError, match=wanted):
            gate_for(tmp_path / "toxicity", dataclasses.replace(table, **changed))


def test_a_table_is_rescored_by_another_member(tabulated: GateTable, tmp_path: Path) -> None:
    save_gate_table(tabulated, tmp_path / "table.safetensors")
    write_lexical(tmp_path / "tiny")
    arguments = ("--classifier", "lexical", "--classifier-path", str(tmp_path / "tiny"))
    said = run("rescore", str(tmp_path / "table.safetensors"), *arguments, "--out", str(tmp_path / "new.safetensors"))
    made = load_gate_table(tmp_path / "new.safetensors")
    tiny = build_classifier("lexical", path=tmp_path / "tiny")
    assert f"12 prompts, harm potential of toxicity by {tiny.name}" in said
    assert made.classifier == tiny.name != tabulated.classifier
    assert made.rescored_from == digest_of_file(tmp_path / "table.safetensors")
    prompts = demo_prompts(TabulateConfig(bundle=Path(), prompts_per_kind=1, seed=3), "toxicity")
    wanted = [scores["toxicity"] for scores in tiny.score([prompt.messages for prompt in prompts])]
    assert made.harm_potential.tolist() == wanted
    np.testing.assert_array_equal(made.harm, tabulated.harm)
    # And back again: the new table says what it was made of, and the column is the old one.
    run("rescore", str(tmp_path / "new.safetensors"), "--classifier", "lexical", "--out", str(tmp_path / "old"))
    back = load_gate_table(tmp_path / "old")
    np.testing.assert_array_equal(back.harm_potential, tabulated.harm_potential)
    assert back.command.count("gate rescore") == 1


def test_other_prompts_and_categories_are_refused(tabulated: GateTable, tmp_path: Path) -> None:
    path, out = tmp_path / "table.safetensors", tmp_path / "new"
    save_gate_table(tabulated, path)
    with pytest.raises(GateTableError, match=r"lexical:\w+ gives \d+ of 12 prompts another harm potential"):
        run("rescore", str(path), "--classifier", "lexical", "--seed", "4", "--out", str(out))
    write_lexical(tmp_path / "tiny")
    arguments = ("--classifier", "lexical", "--classifier-path", str(tmp_path / "tiny"), "--out", str(out))
    save_gate_table(dataclasses.replace(tabulated, category="misinformation"), path)
    with pytest.raises(GateTableError, match="has no category 'misinformation'; it has toxicity, violence"):
        run("rescore", str(path), *arguments)
    save_gate_table(dataclasses.replace(tabulated, command="by hand"), path)
    with pytest.raises(GateTableError, match="'by hand', which does not say how many prompts"):
        run("rescore", str(path), "--classifier", "lexical", "--out", str(out))
    save_gate_table(dataclasses.replace(tabulated, classifier="lexical:000000"), path)
    with pytest.raises(GateTableError, match="wanted lexical:000000, which it was made with"):
        run("rescore", str(path), *arguments)
    with pytest.raises(GateTableError, match="go together"):
        run("rescore", str(path), *arguments, "--pairs", "p.jsonl")
    assert not out.exists()


def recipe_stage(work: Path, table: GateTable, *, benign: bool) -> Path:
    """A finished stage `gate` of a recipe, whose table says nothing of its prompts."""
    (work / "gate").mkdir(parents=True)
    path = work / "gate" / "table.safetensors"
    save_gate_table(dataclasses.replace(table, command="scalpel recipe run x.yaml"), path)
    named = ["pairs/pairs.jsonl", *(["benign/benign.jsonl"] if benign else [])]
    inputs = {name: digest_of_file(work / name) for name in named}
    outputs = {path.name: digest_of_file(path)}
    config: dict[str, Any] = {"prompts": 1, "seed": 3}
    write_record(StageRecord(stage="gate", config=config, inputs=inputs, outputs=outputs, command="c"), path.parent)
    return path


def write_inputs(work: Path) -> None:
    for folder in ("pairs", "benign"):
        (work / folder).mkdir(parents=True)
    records = [pair(f"You are a clown number {n}.", split=Split.VALIDATION) for n in range(4)]
    write_pairs(work / "pairs" / "pairs.jsonl", [*records, pair("Train on me.")])
    lines = [{"messages": [{"role": "user", "content": f"Hello {n}"}], "reply": "Hi."} for n in range(4)]
    (work / "benign" / "benign.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_recipes_stage_says_which_prompts_it_took(tabulated: GateTable, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    path = recipe_stage(tmp_path, tabulated, benign=False)
    prompts, source = table_prompts(load_gate_table(path), path, PromptSource())
    assert (source.count, source.seed, source.pairs) == (1, 3, None)
    assert len(prompts.conversations) == len(KINDS)
    run("rescore", str(path), "--classifier", "lexical", "--out", str(tmp_path / "new"))
    # Another table in its place is not the stage's.
    save_gate_table(dataclasses.replace(tabulated, command="by hand"), path)
    with pytest.raises(GateTableError, match="does not say how many prompts"):
        table_prompts(load_gate_table(path), path, PromptSource())


def test_a_recipes_stage_with_benign_samples_draws_from_its_files(tabulated: GateTable, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    path = recipe_stage(tmp_path, tabulated, benign=True)
    prompts, _ = table_prompts(load_gate_table(path), path, PromptSource(count=2))
    texts = [conversation[-1]["content"] for conversation in prompts.conversations]
    assert [text.split()[0] for text in texts] == ["You", "You", "Hello", "Hello"]
    assert prompts.benign.tolist() == [False, False, True, True]
    (tmp_path / "benign" / "benign.jsonl").write_text("changed")
    with pytest.raises(StageError, match="missing or was changed since stage gate read it"):
        table_prompts(load_gate_table(path), path, PromptSource())


def test_a_choice_is_written_with_what_it_was_made_from(tmp_path: Path) -> None:
    paths = [tmp_path / "low.safetensors", tmp_path / "high.safetensors"]
    for table, path in zip(variant_tables(prompts=48), paths, strict=True):
        save_gate_table(table, path)
    out = tmp_path / "choice.json"
    said = json.loads(run("choose", *map(str, paths), "--out", str(out), *FEWER))
    kept = load_choice(out)
    assert "the rule costs less than always" in said["verdict"]
    assert [variant.table_sha256 for variant in kept.variants] == [digest_of_file(path) for path in paths]
    assert kept.base_fingerprint == BASE
    assert kept.settings["folds"] == 2
    picked = kept.choice()
    assert picked.pick({"toxicity": 0.99}).bundle == "high"
    assert picked.pick({"toxicity": 0.5}).bundle == "low"
    assert picked.pick({"toxicity": 0.1}).strength == 0.0
    shown = run("choose", *map(str, paths), "--out", str(out), *FEWER, "--table")
    assert "always low" in shown
    assert "rule: from harm potential" in shown


def test_a_choice_that_does_not_pay_is_the_single_variant(tmp_path: Path) -> None:
    good = drawn_table()
    worse = dataclasses.replace(good, bundle="worse", change=2 * good.change)
    for table in (good, worse):
        save_gate_table(table, tmp_path / table.bundle)
    out = tmp_path / "choice.json"
    said = json.loads(run("choose", str(tmp_path / "toxicity"), str(tmp_path / "worse"), "--out", str(out), *FEWER))
    assert "the rule does not beat always toxicity" in said["verdict"]
    assert [segment.bundle for segment in load_choice(out).segments] == ["toxicity"]
