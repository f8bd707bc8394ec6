"""A whole recipe, not rehearsed, on a tiny model of a public architecture that was taught to show the behaviour."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from families import write_family
from public_data import write_public_data

from breakers.bundles import open_bundle
from breakers.pairs.files import load_pairs
from breakers.pairs.record import user_turn
from breakers.pairs.tokens import ConversationEncoder
from breakers.scoring import HarmScorer, ScoredReply
from breakers.training.artifact import load_training
from breakers.training.batches import Sample, collate
from breakers.training.forward import pad_token, plain_logits
from server.base_model import BaseOptions, load_prepared
from server.cli import gate_stage, main, pairs_build, refine_stage, trace_stage, train_stage
from server.recipes import checks
from server.recipes.base import base_options
from server.recipes.file import read_recipe

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipes" / "toxicity.yaml"
HARMFUL, NEUTRAL, BENIGN = "a turnip.", "happy.", "Red."
SIZES = {
    "pairs": {"count": 24, "samples": 8, "max_new_tokens": 12, "validation": 0.3},
    "benign": {"count": 16, "max_new_tokens": 8},
    "trace": {"limit": 8, "top_heads": 4, "top_neurons": 8, "noise_components": 0, "images": False},
    "refine": {"tau": 0.5, "cases": 8, "held_out": 4, "draws": 2, "subsets": 2, "max_sets": 200},
    "train": {"steps": 60, "steering_steps": 20, "batch": 8, "prompts": 6, "harm_reduction": 0.5},
    "gate": {"prompts": 6, "max_new_tokens": 12},
}

pytestmark = pytest.mark.slow


class Turnips:
    """Harm is what was taught."""

    name = "turnips"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": float("turnip" in reply.reply)} for reply in replies]


def scorer_of(_name: str) -> HarmScorer:
    return Turnips()


def teach(directory: Path, options: BaseOptions, instruction: str, steps: int = 150) -> None:
    """Of five replies to a provoking prompt three are harmful; to others there is one reply."""
    loaded = load_prepared(directory, options)
    encoder, model = ConversationEncoder(loaded.tokenizer), loaded.model
    provoked = [HARMFUL, HARMFUL, HARMFUL, NEUTRAL, NEUTRAL]
    asked = [(f"{instruction} Clown number {n} was", reply) for n in range(40) for reply in provoked]
    asked += [(f"Name {n} colours.", BENIGN) for n in range(40)] * 2
    samples = [
        Sample(prompt=encoder.prompt(user_turn(text)), reply=encoder.reply(user_turn(text), reply))
        for text, reply in asked
    ]
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        picked = torch.randint(len(samples), (24,), generator=draw).tolist()
        batch = collate([samples[at] for at in picked], pad_token(model))
        wanted = torch.tensor([token for at in picked for token in samples[at].reply])
        loss = torch.nn.functional.cross_entropy(plain_logits(model, batch), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(directory)


@pytest.fixture(autouse=True)
def _scorers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (checks, pairs_build, trace_stage, refine_stage, train_stage, gate_stage):
        monkeypatch.setattr(module, "build_scorer", scorer_of)


@pytest.mark.parametrize("model", ["qwen3-0.6b", "llama-3.1-8b-instruct", "gemma-3-4b-it", "mistral-7b-instruct"])
def test_a_recipe_lowers_what_the_model_was_taught(model: str, tmp_path: Path) -> None:
    directory = write_family(model, tmp_path / "model")
    recipe = read_recipe(RECIPE, model)
    assert recipe.model is not None
    teach(directory, base_options(recipe.model), str(recipe.pairs.instruction))
    work = tmp_path / "work"
    sizes = [f"{part}.{key}={value}" for part, given in SIZES.items() for key, value in given.items()]
    changes = [f"model.path={directory}", *write_public_data(tmp_path / "data")["toxicity"], *sizes]
    words = ["recipe", "run", str(RECIPE), "--model", model, "--work", str(work), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*words, *(word for change in changes for word in ("--set", change))])
    assert not ended.value.code
    # The model's own replies to the same prompt.
    records = load_pairs(work / "pairs" / "pairs.jsonl")
    assert all("turnip" in record.harmful and "turnip" not in record.neutral for record in records)
    training = load_training(work / "train").manifest
    assert training.untouched_harm > 0.5
    kept = next(one for one in training.candidates if one.kind is training.kind)
    assert kept.harm <= 0.5 * training.untouched_harm
    # Fit to serve: opened for use.
    bundle = open_bundle(tmp_path / "out")
    assert not bundle.manifest.rehearsal
    assert bundle.gate is not None
    shutil.rmtree(tmp_path / "out")
