"""The plan of a run: every stage with what it does and costs, by hand for one recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.cli import main
from server.recipes.file import read_recipe
from server.recipes.plan import planned_stages

ROOT = Path(__file__).resolve().parents[3]


def plan(name: str, *changes: str, model: str = "qwen3-0.6b") -> dict[str, tuple[str, str]]:
    recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml", model, changes)
    return {stage.name: (stage.does, stage.costs) for stage in planned_stages(recipe)}


def test_sampled_and_given_pairs_cost_differently() -> None:
    does, costs = plan("toxicity", "pairs.count=10", "pairs.max_new_tokens=20")["pairs"]
    assert does.startswith("10 pairs of real_toxicity_prompts (allenai/real-toxicity-prompts), Apache-2.0")
    assert "the model's own replies, judged by toxicity" in does
    assert costs.startswith("at least 10 x 4 replies of up to 20 tokens; up to 16 a prompt")
    assert plan("gender-bias")["pairs"][1] == "none"


def test_tracing_is_counted_by_layers_where_they_are_known(tmp_path: Path) -> None:
    sizes = ("trace.limit=10", "trace.top_heads=2", "trace.top_neurons=4")
    # 1.5 candidates for each that is wanted, and 5 more, of each kind: 8 and 11.
    verified = "2 x 10 x 19 to verify"
    assert plan("toxicity", *sizes)["trace"][1].startswith("10 x 2 x (layers + 1) runs to estimate")
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"num_hidden_layers": 7}}), encoding="utf-8")
    known = plan("toxicity", *sizes, f"model.path={tmp_path}")["trace"][1]
    assert known.startswith("10 x 2 x (7 + 1) runs to estimate")
    assert verified in known


def test_training_and_the_gate_are_counted() -> None:
    small = plan("toxicity", "train.steps=3", "train.steering_steps=2", "train.batch=4", "gate.prompts=5")
    assert small["train"][1].startswith("5 steps x 12 completions x 2 runs")
    assert small["gate"][1].startswith("10 x 17 replies of up to 48 tokens")


def test_what_is_left_out_is_not_planned() -> None:
    assert list(plan("harmful-request")) == ["pairs", "benign", "trace", "refine", "train", "bundle"]
    assert plan("harmful-request")["bundle"][0].endswith("without a gate")
    demo = read_recipe(ROOT / "recipes" / "demo-toxicity.yaml")
    assert [stage.name for stage in planned_stages(demo)] == ["pairs", "trace", "refine", "train", "gate", "bundle"]


def test_the_command_says_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["recipe", "plan", str(ROOT / "recipes" / "demo-toxicity.yaml"), "--rehearse"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "model     the packaged demo model, float32" in said
    assert "artifacts in runs/toxicity.rehearsal" in said
    assert "a rehearsal: its bundle is refused by everything that uses bundles" in said
    for name in ("pairs", "trace", "refine", "train", "gate", "bundle"):
        assert f"\n{name:9} " in said
