"""Checkpoints loaded by transformers compute what our runtime computes."""

import pytest
import torch
from exporting import (
    IDS,
    MODELS,
    TOLERANCE,
    bundle_of,
    everything,
    export,
    export_model,
    head,
    mask,
    neurons,
    served_logits,
    vector,
)
from safetensors.torch import load_file
from tiny_tokenizer import tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from breakers.exports.base import ExportBase, ExportSpec
from breakers.exports.export import export_bundle
from breakers.exports.formats import ExportFormat


@torch.no_grad()
def loaded_logits(folder):
    return AutoModelForCausalLM.from_pretrained(folder).eval()(input_ids=IDS).logits


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_checkpoint_computes_what_the_runtime_does(kind, strength, tmp_path) -> None:
    model = export_model(kind)
    bundle = bundle_of(model, everything(model))
    plain = model(IDS).logits
    export(model, bundle, tmp_path / "out", ExportFormat.CHECKPOINT, strength=strength)
    wanted = served_logits(model, bundle, strength)
    assert (wanted - plain).abs().max() > 0.05
    assert (loaded_logits(tmp_path / "out") - wanted).abs().max() <= TOLERANCE


@pytest.mark.parametrize("kind", ["gpt2", "llama-biases"])
def test_steering_vectors_go_into_biases(kind, tmp_path) -> None:
    model = export_model(kind)
    vectors = [vector(head(1, 2), 8), vector(neurons(0, 3, 8), 2, seed=1)]
    bundle = bundle_of(model, [*everything(model), *vectors])
    export(model, bundle, tmp_path / "out", ExportFormat.CHECKPOINT, strength=0.7)
    assert (loaded_logits(tmp_path / "out") - served_logits(model, bundle, 0.7)).abs().max() <= TOLERANCE
    without = served_logits(model, bundle_of(model, everything(model)), 0.7)
    assert (loaded_logits(tmp_path / "out") - without).abs().max() > 0.05


def test_only_the_folded_tensors_differ_and_the_dtype_stays(tmp_path) -> None:
    model = export_model("llama").to(torch.bfloat16)
    bundle = bundle_of(model, [mask(head(1, 2), *([0.0] * 8))])
    export(model, bundle, tmp_path / "out", ExportFormat.CHECKPOINT)
    saved = load_file(tmp_path / "out" / "model.safetensors")
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(saved[name], tensor)}
    assert changed == {"model.layers.1.self_attn.o_proj.weight"}
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    pruned = saved["model.layers.1.self_attn.o_proj.weight"]
    assert not pruned[:, 16:24].any()
    assert torch.equal(pruned[:, :16], model.model.layers[1].self_attn.o_proj.weight[:, :16])


def test_tokenizer_files_are_copied_as_they_are(tmp_path) -> None:
    model = export_model("llama")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    base = ExportBase(model=model, name="tiny", directory=tmp_path / "base")
    bundle = bundle_of(model, everything(model))
    result = export_bundle(bundle, base, tmp_path / "out", ExportSpec(format=ExportFormat.CHECKPOINT))
    copied = {path.name for path in (tmp_path / "base").iterdir()}
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= copied <= set(result.files)
    for name in copied:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "base" / name).read_bytes()
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("hello").input_ids


def test_the_card_warns_of_applying_the_bundle_twice(tmp_path) -> None:
    model = export_model("llama")
    export(model, bundle_of(model, everything(model)), tmp_path / "out", ExportFormat.CHECKPOINT)
    assert "apply it a second time" in (tmp_path / "out" / "README.md").read_text()
