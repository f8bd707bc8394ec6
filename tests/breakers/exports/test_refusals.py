"""What cannot be expressed is refused with the reason, and nothing is left behind."""

from __future__ import annotations

import pytest
from exporting import (
    breaker,
    bundle_of,
    everything,
    export,
    export_model,
    head,
    mask,
    neurons,
    resid,
    vector,
)
from torch import nn

from breakers.bank import Scope
from breakers.errors import BaseMismatchError, BreakersError, ExportError
from breakers.exports.formats import ExportFormat
from breakers.exports.lora import LoraAdapter

PEFT, GGUF, CHECKPOINT = ExportFormat.PEFT, ExportFormat.GGUF, ExportFormat.CHECKPOINT
ALL_FORMATS = [PEFT, GGUF, CHECKPOINT]
ONES = [0.0] * 8


@pytest.mark.parametrize(
    ("format_", "intervention", "reason"),
    [
        (PEFT, vector(head(1, 2), 8), "steering vector at layer 1 head 2: .* would be a bias"),
        (PEFT, vector(neurons(1, 2), 1), r"steering vector at layer 1 neurons \(1\)"),
        (PEFT, breaker(resid(1), 32), "breaker at layer 1 resid: .* no single projection"),
        (PEFT, mask(resid(1), *ONES * 4), "mask at layer 1 resid: .* no single projection"),
        (PEFT, vector(resid(1), 32), "steering at layer 1 resid: .* no single projection"),
        (PEFT, mask(neurons(1, *range(33)), *[0.0] * 33), r"down_proj needs rank 33, more than .* 32: .* checkpoint"),
        (GGUF, vector(resid(0), 32), "layer 0 resid: llama.cpp has no direction for its first block"),
        (GGUF, vector(head(1, 2), 8), "steering at layer 1 head 2: it holds steering vectors on the residual"),
        (GGUF, breaker(head(1, 2), 8), "breaker at layer 1 head 2"),
        (GGUF, breaker(resid(1), 32), "breaker at layer 1 resid"),
        (GGUF, mask(resid(1), *ONES * 4), "mask at layer 1 resid"),
        (GGUF, mask(neurons(1, 2), 0.0), "mask at layer 1 neurons"),
        (CHECKPOINT, vector(head(1, 2), 8), "o_proj has no bias"),
        (CHECKPOINT, vector(neurons(1, 2), 1), "down_proj has no bias"),
        (CHECKPOINT, vector(resid(1), 32), "steering at layer 1 resid: .* no single projection"),
        (CHECKPOINT, breaker(resid(1), 32), "breaker at layer 1 resid"),
        (CHECKPOINT, mask(resid(1), *ONES * 4), "mask at layer 1 resid"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(format_, intervention, reason, tmp_path) -> None:
    model = export_model("llama")
    # Last of several: the others are no excuse to leave it out.
    others = {PEFT: breaker(head(0, 0), 8), CHECKPOINT: breaker(head(0, 0), 8), GGUF: vector(resid(2), 32)}
    bundle = bundle_of(model, [others[format_], intervention])
    with pytest.raises(ExportError, match=reason):
        export(model, bundle, tmp_path / "out", format_)
    assert not list(tmp_path.iterdir())


FITTING = {PEFT: breaker(head(1, 2), 8), CHECKPOINT: breaker(head(1, 2), 8), GGUF: vector(resid(1), 32)}


@pytest.mark.parametrize("format_", ALL_FORMATS)
@pytest.mark.parametrize(
    ("scope", "spec", "reason"),
    [
        (Scope.GENERATION, {}, "scope 'generation': .* --as-scope all"),
        (Scope.ALL, {"as_scope": Scope.GENERATION}, "can only be 'all'"),
        (Scope.ALL, {"strength": 0.0}, "strength is 0; wanted above 0 and at most 1"),
        (Scope.ALL, {"strength": 1.01}, "strength is 1.01; .* strength_max of bundle 'calm'"),
        (Scope.ALL, {"strength": -1.0}, "strength is -1"),
        (Scope.ALL, {"strength": float("nan")}, "strength is nan"),
        (Scope.ALL, {"max_rank": 0}, "max-rank is 0"),
    ],
)
def test_requests_out_of_range_are_refused(format_, scope, spec, reason, tmp_path) -> None:
    model = export_model("llama")
    with pytest.raises(ExportError, match=reason):
        export(model, bundle_of(model, [FITTING[format_]], scope=scope), tmp_path / "out", format_, **spec)
    assert not list(tmp_path.iterdir())


def test_a_rank_above_the_limit_is_refused_and_at_the_limit_written(tmp_path) -> None:
    model = export_model("llama")
    # 2 of the breaker and 3 masked channels.
    bundle = bundle_of(model, [breaker(neurons(1, 0, 1, 2), 3), mask(neurons(1, 4, 5, 6), 0.0, 0.5, 0.0)])
    with pytest.raises(ExportError, match=r"needs rank 5 .* wanted at most 4: raise --max-rank"):
        export(model, bundle, tmp_path / "out", PEFT, max_rank=4)
    export(model, bundle, tmp_path / "out", PEFT, max_rank=5)


@pytest.mark.parametrize("format_", ALL_FORMATS)
def test_another_base_is_refused_unless_accepted_by_name(format_, tmp_path) -> None:
    bundle = bundle_of(export_model("llama", seed=1), [FITTING[format_]])
    model = export_model("llama")
    with pytest.raises(BaseMismatchError, match="accept-base-mismatch"):
        export(model, bundle, tmp_path / "out", format_)
    export(model, bundle, tmp_path / "out", format_, accept_base_mismatch=True)
    assert "made on another base model" in (tmp_path / "out" / "README.md").read_text()


def test_sites_that_the_model_lacks_are_refused(tmp_path) -> None:
    model = export_model("mixtral")
    with pytest.raises(BreakersError, match="neuron"):
        export(model, bundle_of(model, [mask(neurons(1, 2), 0.0)]), tmp_path / "out", CHECKPOINT)


def test_tied_weights_are_not_changed(tmp_path) -> None:
    model = export_model("llama")
    model.model.layers[2].mlp.down_proj.weight = model.model.layers[1].mlp.down_proj.weight
    bundle = bundle_of(model, [mask(neurons(1, 2), 0.0)])
    with pytest.raises(ExportError, match=r"layers\.1\.mlp\.down_proj\.weight is tied to .*layers\.2"):
        export(model, bundle, tmp_path / "out", CHECKPOINT)
    # LoRA leaves the weight alone.
    export(model, bundle, tmp_path / "out", PEFT)


@pytest.mark.parametrize("format_", [PEFT, CHECKPOINT])
def test_a_shared_projection_is_refused(format_, tmp_path) -> None:
    model = export_model("llama")
    model.model.layers[2].mlp.down_proj = model.model.layers[1].mlp.down_proj
    with pytest.raises(ExportError, match="wanted one that is used once"):
        export(model, bundle_of(model, [mask(neurons(1, 2), 0.0)]), tmp_path / "out", format_)


class OtherLinear(nn.Linear):
    """What a quantised or wrapped projection looks like from outside."""


@pytest.mark.parametrize("format_", [PEFT, CHECKPOINT])
def test_other_kinds_of_projection_are_refused(format_, tmp_path) -> None:
    model = export_model("llama")
    model.model.layers[1].mlp.down_proj = OtherLinear(48, 32, bias=False)
    with pytest.raises(ExportError, match="is a OtherLinear; only Linear and Conv1D"):
        export(model, bundle_of(model, [mask(neurons(1, 2), 0.0)]), tmp_path / "out", format_)


def test_an_occupied_output_is_refused_and_untouched(tmp_path) -> None:
    model = export_model("llama")
    bundle = bundle_of(model, everything(model))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, reason in {"full": "is not empty", "file": "not a plain folder"}.items():
        with pytest.raises(ExportError, match=reason):
            export(model, bundle, tmp_path / name, PEFT)
    assert (tmp_path / "full" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert export(model, bundle, tmp_path / "empty", PEFT).files == tuple(
        sorted(path.name for path in (tmp_path / "empty").iterdir())
    )


def test_a_failure_while_writing_leaves_nothing(tmp_path, monkeypatch) -> None:
    model = export_model("llama")

    def fail(self):
        raise OSError("disk full")

    monkeypatch.setattr(LoraAdapter, "tensors", fail)
    with pytest.raises(OSError, match="disk full"):
        export(model, bundle_of(model, everything(model)), tmp_path / "out", PEFT)
    assert not list(tmp_path.iterdir())
