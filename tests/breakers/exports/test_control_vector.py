"""Control vectors read back by the `gguf` package, and what a reader that follows llama.cpp makes of them."""

import sys

import numpy as np
import pytest
import torch
from exporting import IDS, TOLERANCE, bundle_of, export, export_model, resid, served_logits, vector
from gguf import GGMLQuantizationType, GGUFReader

from breakers.bank import Scope
from breakers.errors import ExportError
from breakers.exports.formats import ExportFormat


def vectors():
    return [vector(resid(1), 32, seed=1), vector(resid(1), 32, seed=2), vector(resid(2), 32, seed=3)]


def exported(tmp_path, kind="llama", **spec):
    model = export_model(kind)
    bundle = bundle_of(model, vectors(), strength_max=2.0, scope=spec.pop("scope", Scope.ALL))
    export(model, bundle, tmp_path / "out", ExportFormat.GGUF, **spec)
    return model, bundle, GGUFReader(tmp_path / "out" / "control-vector.gguf")


def test_values_and_metadata_are_read_back(tmp_path) -> None:
    _, _, reader = exported(tmp_path, strength=1.5)
    metadata = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert metadata == {
        "general.architecture": "controlvector",
        "general.name": "calm",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
    }
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert list(tensors) == ["direction.1", "direction.2"]
    first, second, third = (k.vector for k in vectors())
    for name, wanted in {"direction.1": 1.5 * (first + second), "direction.2": 1.5 * third}.items():
        assert tensors[name].tensor_type is GGMLQuantizationType.F32
        assert tensors[name].shape.tolist() == [32]
        np.testing.assert_allclose(tensors[name].data, wanted.numpy(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text"])
@torch.no_grad()
def test_applied_as_llama_cpp_does_it_computes_what_the_runtime_does(kind, tmp_path) -> None:
    model, bundle, reader = exported(tmp_path, kind, strength=0.5)
    blocks = model.transformer.h if kind == "gpt2" else model.model.layers
    handles = []
    for tensor in reader.tensors:
        # llama.cpp: the output of block N plus direction.N.
        direction = torch.from_numpy(tensor.data.copy())
        block = blocks[int(tensor.name.removeprefix("direction."))]
        handles.append(block.register_forward_hook(lambda _m, _a, output, d=direction: add(output, d)))
    found = model(input_ids=IDS).logits
    for handle in handles:
        handle.remove()
    assert (found - served_logits(model, bundle, 0.5)).abs().max() <= TOLERANCE
    assert (found - model(input_ids=IDS).logits).abs().max() > 0.05


def add(output, direction):
    return (output[0] + direction, *output[1:]) if isinstance(output, tuple) else output + direction


def test_a_layer_without_a_vector_is_zero(tmp_path) -> None:
    model = export_model("llama")
    export(model, bundle_of(model, [vector(resid(2), 32)]), tmp_path / "out", ExportFormat.GGUF)
    directions = {t.name: t.data for t in GGUFReader(tmp_path / "out" / "control-vector.gguf").tensors}
    assert not directions["direction.1"].any()
    assert directions["direction.2"].any()


@pytest.mark.parametrize(("kind", "hint"), [("gemma3_text", "gemma3"), ("mixtral", "llama"), ("gpt2", "gpt2")])
def test_the_hint_is_llama_cpps_name(kind, hint, tmp_path) -> None:
    _, _, reader = exported(tmp_path, kind)
    assert reader.fields["controlvector.model_hint"].contents() == hint


def test_a_generation_bundle_needs_to_be_asked_for(tmp_path) -> None:
    with pytest.raises(ExportError, match="as-scope all"):
        exported(tmp_path, scope=Scope.GENERATION)
    exported(tmp_path, scope=Scope.GENERATION, as_scope=Scope.ALL)
    assert "every token" in (tmp_path / "out" / "README.md").read_text()


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ExportError, match=r"scalpel\[exports\]"):
        exported(tmp_path)
    assert not list(tmp_path.iterdir())
