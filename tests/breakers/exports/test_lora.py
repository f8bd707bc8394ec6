"""Adapters loaded by the real `peft` package compute what our runtime computes."""

import json

import pytest
import torch
from exporting import (
    IDS,
    MODELS,
    TOLERANCE,
    breaker,
    bundle_of,
    everything,
    export,
    export_model,
    head,
    mask,
    neurons,
    served_logits,
)
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from tiny import tiny_config
from transformers import LlamaForCausalLM

from breakers.bank import Scope
from breakers.exports.formats import ExportFormat

# peft asks transformers by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@torch.no_grad()
def peft_logits(kind, folder):
    adapted = PeftModel.from_pretrained(export_model(kind), folder).eval()
    return adapted(input_ids=IDS).logits


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_peft_computes_what_the_runtime_does(kind, strength, tmp_path) -> None:
    model = export_model(kind)
    bundle = bundle_of(model, everything(model))
    plain = model(IDS).logits
    export(model, bundle, tmp_path / "out", ExportFormat.PEFT, strength=strength)
    wanted = served_logits(model, bundle, strength)
    assert (wanted - plain).abs().max() > 0.05
    assert (peft_logits(kind, tmp_path / "out") - wanted).abs().max() <= TOLERANCE


def test_strengths_above_one(tmp_path) -> None:
    model = export_model("llama")
    bundle = bundle_of(model, [breaker(head(1, 2), 8), breaker(neurons(0, 3, 4), 2)], strength_max=2.0)
    export(model, bundle, tmp_path / "out", ExportFormat.PEFT, strength=1.6)
    wanted = served_logits(model, bundle, 1.6)
    assert (peft_logits("llama", tmp_path / "out") - wanted).abs().max() <= TOLERANCE


@torch.no_grad()
def test_many_modules_are_told_apart(tmp_path) -> None:
    # From twenty targets on, peft looks for shorter names that mean the same modules: layers 1 and 11, say.
    config = tiny_config("llama")
    config.num_hidden_layers = 24
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    bundle = bundle_of(model, [breaker(head(layer, 2), 8, seed=layer) for layer in range(24) if layer not in (1, 11)])
    export(model, bundle, tmp_path / "out", ExportFormat.PEFT)
    wanted = served_logits(model, bundle, 1.0)
    adapted = PeftModel.from_pretrained(model, tmp_path / "out").eval()
    assert (adapted(input_ids=IDS).logits - wanted).abs().max() <= TOLERANCE
    assert len({name for name, _ in adapted.named_parameters() if "lora_A" in name}) == 22


def test_a_generation_bundle_acts_on_every_token_when_asked_and_its_card_says_so(tmp_path) -> None:
    model = export_model("llama")
    bundle = bundle_of(model, [breaker(head(1, 2), 8)], scope=Scope.GENERATION)
    result = export(model, bundle, tmp_path / "out", ExportFormat.PEFT, as_scope=Scope.ALL)
    wanted = served_logits(model, bundle, 1.0)
    assert (peft_logits("llama", tmp_path / "out") - wanted).abs().max() <= TOLERANCE
    card = (tmp_path / "out" / "README.md").read_text()
    assert "acts on every token, prompts included" in card
    assert any("--as-scope all" in remark for remark in result.remarks)


def test_the_files_are_pefts_own(tmp_path) -> None:
    model = export_model("gpt2")
    bundle = bundle_of(model, [breaker(head(1, 2), 8), mask(neurons(0, 3, 4, 9), 0.0, 0.5, 1.0)])
    result = export(model, bundle, tmp_path / "out", ExportFormat.PEFT)
    assert result.files == ("README.md", "adapter_config.json", "adapter_model.safetensors")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"]) == (2, 2, True)
    targets = ["transformer.h.0.mlp.c_proj", "transformer.h.1.attn.c_proj"]
    assert config["target_modules"] == targets
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == {
        "base_model.model.transformer.h.0.mlp.c_proj.lora_A.weight": (2, 128),
        "base_model.model.transformer.h.0.mlp.c_proj.lora_B.weight": (32, 2),
        "base_model.model.transformer.h.1.attn.c_proj.lora_A.weight": (2, 32),
        "base_model.model.transformer.h.1.attn.c_proj.lora_B.weight": (32, 2),
    }
    # What peft itself would write after loading: nothing was dropped or renamed.
    assert PeftConfig.from_pretrained(tmp_path / "out").to_dict()["r"] == 2
    adapted = PeftModel.from_pretrained(export_model("gpt2"), tmp_path / "out")
    adapted.save_pretrained(tmp_path / "again", save_embedding_layers=False)
    again = load_file(tmp_path / "again" / "adapter_model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in again.items()} == shapes


def test_the_model_in_memory_is_not_changed(tmp_path) -> None:
    model = export_model("llama")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for format_ in (ExportFormat.PEFT, ExportFormat.CHECKPOINT):
        export(model, bundle_of(model, everything(model)), tmp_path / format_, format_)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
